// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The first code of fuse4fs that runs: makes Deno run the bundle that the executable carries.
 *
 * dist/fuse4fs is Deno's own executable with one segment more, which holds this code and the
 * bundle (launcher.ts puts it there). The dynamic loader has done its work when it jumps here
 * instead of to Deno's entry. The stack is as execve(2) left it:
 *
 *     sp -> argc | argv[0] ... argv[argc-1] | NULL | envp ... | NULL | auxv ... | AT_NULL
 *
 * From it we make another one below, and go on at Deno's entry as if the user had typed
 *
 *     fuse4fs run -A --ext=js ... /proc/self/fd/N  argv[1] ... argv[argc-1]
 *
 * N being a file in memory with the loader of the bundle (bundle.ts). Nothing of Deno is copied or changed: its pages come
 * from the page cache, and /proc/self/exe is fuse4fs itself. The C library takes the arguments
 * from the stack at the entry, but keeps the environment that the loader saw, so that pointer is
 * set as well, through Deno's own reference to `environ`.
 *
 * A mount that goes to the background is divided here into two processes, while there is one
 * thread only: the second one goes on to Deno and serves, the first one waits for its report.
 *
 * There is no C library here: only system calls.
 */

typedef unsigned long word;

/* Filled in by launcher.ts, which finds it by its magic. Distances are from this structure. */
struct payload {
	word magic;
	long deno_entry;	/* where Deno begins */
	long environ_slot;	/* Deno's pointer to the C library's `environ` */
	long bundle;		/* the module that Deno is to run */
	word bundle_size;
	long hot;		/* struct range: parts of the executable that every start needs */
	word hot_count;
};

/* Bytes of the executable's file. */
struct range {
	word offset;
	word size;
};

#define PAYLOAD_MAGIC 0x53463445535546UL /* "FUSE4FS" */

__attribute__((section(".payload"), used, visibility("hidden")))
volatile struct payload payload = { PAYLOAD_MAGIC, 1, 2, 3, 4, 5, 6 };

/* What goes between argv[0] and the user's arguments. Each ends in NUL, the list in another. */
static const char deno_arguments[] =
	"run\0"
	"--allow-all\0"
	"--ext=js\0"
	"--quiet\0"
	"--no-prompt\0"
	"--no-config\0"
	"--no-lock\0"
	"--no-npm\0"
	"--no-remote\0"
	"--no-code-cache\0"
	"--node-modules-dir=none\0"
	/* Sooner than the 3,000 calls of a function that V8 waits for: a short job has as many. */
	"--v8-flags=--invocation-count-for-turbofan=500\0";

/* What goes in front of the user's environment. */
static const char deno_environment[] =
	"DENO_NO_UPDATE_CHECK=1\0"
	"DENO_NO_PACKAGE_JSON=1\0"
	/* Nowhere: Deno then keeps its caches in memory and leaves the user's home alone. */
	"DENO_DIR=/dev/null/none\0";

/* Tells the program, src/mount/daemon.ts, that it serves, and to which descriptor it reports. */
#define BACKGROUND "FUSE4FS_BACKGROUND="

#define MEMFD_NAME "fuse4fs"
#define MFD_CLOEXEC 1
#define AT_FDCWD (-100)
#define O_CLOEXEC 02000000
#define SIGTERM 15
#define SIGCHLD 17
#define CLONE_CHILD_CLEARTID 0x00200000
#define CLONE_CHILD_SETTID 0x01000000
#define PR_SET_PDEATHSIG 1
#define PR_GET_TID_ADDRESS 40

/* mount(8): internal error */
#define EXIT_INTERNAL 4

/* Where the new stack lies, ready to be copied, and where to go on with it. */
struct result {
	word *stack;	/* stack[-1] is its length in words */
	word entry;
};

#if defined(__x86_64__)
enum {
	SYS_read = 0,
	SYS_write = 1,
	SYS_close = 3,
	SYS_mmap = 9,
	SYS_clone = 56,
	SYS_wait4 = 61,
	SYS_prctl = 157,
	SYS_readahead = 187,
	SYS_exit_group = 231,
	SYS_openat = 257,
	SYS_pipe2 = 293,
	SYS_memfd_create = 319,
};

/* Saves sp and rdx (a function that the C library registers with atexit), lets start() build the
 * new stack elsewhere, copies it to just below the old one, and goes on. */
__asm__(
	".pushsection .text.entry, \"ax\"\n"
	".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rbx\n"
	"	mov %rdx, %r12\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call start\n"
	"	mov %rdx, %r13\n"
	"	mov %rax, %rsi\n"
	"	mov -8(%rax), %rcx\n"
	"	lea (, %rcx, 8), %rax\n"
	"	mov %rbx, %rdi\n"
	"	sub %rax, %rdi\n"
	"	and $-16, %rdi\n"
	"	mov %rdi, %rsp\n"
	"	cld\n"
	"	rep movsq\n"
	"	mov %r12, %rdx\n"
	"	xor %ebp, %ebp\n"
	"	jmp *%r13\n"
	".popsection\n");

static long system_call(long number, word a, word b, word c, word d, word e, word f)
{
	long result;
	register word r10 __asm__("r10") = d;
	register word r8 __asm__("r8") = e;
	register word r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
/* Written after the ABI's documents and not yet tried on a machine. */
enum {
	SYS_read = 63,
	SYS_write = 64,
	SYS_close = 57,
	SYS_mmap = 222,
	SYS_clone = 220,
	SYS_wait4 = 260,
	SYS_prctl = 167,
	SYS_exit_group = 94,
	SYS_openat = 56,
	SYS_readahead = 213,
	SYS_pipe2 = 59,
	SYS_memfd_create = 279,
};

__asm__(
	".pushsection .text.entry, \"ax\"\n"
	".globl _start\n"
	"_start:\n"
	"	mov x19, sp\n"
	"	mov x20, x0\n"
	"	mov x0, sp\n"
	"	bl start\n"
	"	ldr x2, [x0, #-8]\n"
	"	sub x3, x19, x2, lsl #3\n"
	"	and x3, x3, #-16\n"
	"	mov sp, x3\n"
	"1:	cbz x2, 2f\n"
	"	ldr x4, [x0], #8\n"
	"	str x4, [x3], #8\n"
	"	sub x2, x2, #1\n"
	"	b 1b\n"
	"2:	mov x0, x20\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	br x1\n"
	".popsection\n");

static long system_call(long number, word a, word b, word c, word d, word e, word f)
{
	register word x8 __asm__("x8") = number;
	register word x0 __asm__("x0") = a;
	register word x1 __asm__("x1") = b;
	register word x2 __asm__("x2") = c;
	register word x3 __asm__("x3") = d;
	register word x4 __asm__("x4") = e;
	register word x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "no entry stub for this processor: build with denort (deno compile)"
#endif

static word length_of(const char *string)
{
	word length = 0;

	while (string[length])
		length++;
	return length;
}

/* Length of a list of words that ends in a zero word, with that zero. */
static word words_of(const word *list)
{
	word count = 0;

	while (list[count])
		count++;
	return count + 1;
}

static void say(const char *words, word length)
{
	system_call(SYS_write, 2, (word)words, length, 0, 0, 0);
}

_Noreturn static void leave(word code)
{
	for (;;)
		system_call(SYS_exit_group, code, 0, 0, 0, 0, 0);
}

_Noreturn static void give_up(const char *reason)
{
	say(reason, length_of(reason));
	leave(EXIT_INTERNAL);
}

/* A file in memory with the module; its descriptor. */
static word bundle_file(void)
{
	const char *from = (const char *)&payload + payload.bundle;
	word left = payload.bundle_size;
	long fd = system_call(SYS_memfd_create, (word)MEMFD_NAME, MFD_CLOEXEC, 0, 0, 0, 0);

	if (fd < 0)
		give_up("fuse4fs: Cannot make a file in memory (memfd_create)\n");
	while (left > 0) {
		long written = system_call(SYS_write, fd, (word)from, left, 0, 0, 0);

		if (written <= 0)
			give_up("fuse4fs: Cannot fill a file in memory\n");
		from += written;
		left -= written;
	}
	return fd;
}

/* Writes the two, one behind the other, and a NUL. */
static void put_with_number(char *to, const char *text, word number)
{
	char digits[20];
	int count = 0;

	while (*text)
		*to++ = *text++;
	do {
		digits[count++] = '0' + number % 10;
		number /= 10;
	} while (number);
	while (count)
		*to++ = digits[--count];
	*to = 0;
}

/* Appends the strings of a list; returns the place behind. */
static word *put_strings(word *to, const char *list)
{
	for (; *list; list += length_of(list) + 1)
		*to++ = (word)list;
	return to;
}

static word *put_words(word *to, const word *from, word count)
{
	while (count--)
		*to++ = *from++;
	return to;
}

/*
 * Where the executable is not in the page cache, some large reads bring what will be needed of it
 * there faster than one page fault after the other.
 */
static void read_ahead(void)
{
	const struct range *hot = (const struct range *)((const char *)&payload + payload.hot);
	long fd = system_call(SYS_openat, AT_FDCWD, (word)"/proc/self/exe", O_CLOEXEC, 0, 0, 0);

	if (fd < 0)
		return;
	for (word i = 0; i < payload.hot_count; i++)
		system_call(SYS_readahead, fd, hot[i].offset, hot[i].size, 0, 0, 0);
	system_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* True for a command's name, which has lower-case letters only, unless it is `mount`. */
static int may_be_command(const char *word_of_user)
{
	static const char mount[] = "mount";
	word i = 0;

	while (i < sizeof(mount) && word_of_user[i] == mount[i])
		i++;
	if (i == sizeof(mount))
		return 0;
	for (i = 0; word_of_user[i]; i++)
		if (word_of_user[i] < 'a' || word_of_user[i] > 'z')
			return 0;
	return 1;
}

/*
 * True when the arguments are surely those of a mount that is to go to the background: names, and
 * options after -o. In doubt it is left to the program, which then starts itself anew.
 */
static int is_background_mount(word argc, const word *argv)
{
	word names = 0;

	for (word i = 1; i < argc; i++) {
		const char *argument = (const char *)argv[i];

		if (argument[0] != '-') {
			if (names++ == 0 && may_be_command(argument))
				return 0;
		} else if (argument[1] != 'o') {
			return 0;
		} else if (argument[2] == 0) {
			i++;
		}
	}
	return names >= 2;
}

/*
 * The first process: passes on what the second one reports, `CODE MESSAGE` and the end of the line
 * (see daemon.ts), or how it ended without a report.
 */
_Noreturn static void wait_for_report(long child, word from)
{
	static const char name[] = "fuse4fs: ";
	static const char silent[] = "fuse4fs: The server ended before it could mount\n";
	char text[4096];
	word length = 0, at = 0, code = 0;
	int status = 0;

	while (length < sizeof(text)) {
		long count = system_call(SYS_read, from, (word)text + length,
					 sizeof(text) - length, 0, 0, 0);

		if (count <= 0)
			break;
		length += count;
		if (text[length - 1] == '\n')
			break;
	}
	if (length > 0) {
		while (at < length && text[at] >= '0' && text[at] <= '9')
			code = code * 10 + text[at++] - '0';
		if (code != 0) {
			say(name, sizeof(name) - 1);
			say(text + at + 1, length - at - 1);
		}
		leave(code);
	}
	system_call(SYS_wait4, child, (word)&status, 0, 0, 0, 0);
	if (status & 0x7f) {
		say(silent, sizeof(silent) - 1);
		leave(EXIT_INTERNAL);
	}
	leave(status >> 8 & 0xff);
}

/*
 * Goes on in a second process, which is to report to the descriptor returned; 0 where that can't
 * be. The C library keeps the number of its thread in memory: the kernel corrects it there.
 */
static word divide(void)
{
	word thread_number = 0;
	int ends[2];
	long child;

	if (system_call(SYS_prctl, PR_GET_TID_ADDRESS, (word)&thread_number, 0, 0, 0, 0) < 0)
		return 0;
	if (system_call(SYS_pipe2, (word)ends, O_CLOEXEC, 0, 0, 0, 0) < 0)
		return 0;
#if defined(__x86_64__)
	child = system_call(SYS_clone, SIGCHLD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, 0, 0,
			    thread_number, 0, 0);
#else
	child = system_call(SYS_clone, SIGCHLD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, 0, 0,
			    0, thread_number, 0);
#endif
	if (child > 0) {
		system_call(SYS_close, ends[1], 0, 0, 0, 0, 0);
		wait_for_report(child, ends[0]);
	}
	system_call(SYS_close, ends[0], 0, 0, 0, 0, 0);
	if (child < 0) {
		system_call(SYS_close, ends[1], 0, 0, 0, 0, 0);
		return 0;
	}
	/* Until it serves, whoever ends the first process ends this one. */
	system_call(SYS_prctl, PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0, 0);
	return ends[1];
}

__attribute__((used)) struct result start(const word *stack)
{
	const word argc = stack[0];
	const word *argv = stack + 1;
	const word *envp = argv + argc + 1;
	const word env_words = words_of(envp);
	const word *auxv = envp + env_words;
	word aux_words = 0;
	struct result result;
	word *memory, *to, size, report_to = 0;
	char *path, *background;

	read_ahead();
	if (is_background_mount(argc, argv))
		report_to = divide();
	while (auxv[aux_words])
		aux_words += 2;
	aux_words += 2;

	/* Generous: every byte of the two lists counts as a word. Then the texts
	 * that are made up here. */
	size = (argc + env_words + aux_words + sizeof(deno_arguments) + sizeof(deno_environment) +
		16) * sizeof(word) + 128;
	memory = (word *)system_call(SYS_mmap, 0, size, 3 /* read, write */,
				     0x22 /* private, anonymous */, -1, 0);
	if ((long)memory < 0 && (long)memory > -4096)
		give_up("fuse4fs: Out of memory\n");
	path = (char *)memory + size - 64;
	background = path - 64;
	put_with_number(path, "/proc/self/fd/", bundle_file());

	result.stack = memory + 1;
	to = result.stack + 1;
	*to++ = argv[0];
	to = put_strings(to, deno_arguments);
	*to++ = (word)path;
	to = put_words(to, argv + 1, argc - 1);
	result.stack[0] = to - result.stack - 1;
	*to++ = 0;
	/* The environment stays here when the stack is copied, for `environ` to point to. */
	**(word **)((char *)&payload + payload.environ_slot) = (word)to;
	to = put_strings(to, deno_environment);
	if (report_to) {
		put_with_number(background, BACKGROUND, report_to);
		*to++ = (word)background;
	}
	to = put_words(to, envp, env_words);
	to = put_words(to, auxv, aux_words);
	memory[0] = to - result.stack;
	result.entry = (word)&payload + payload.deno_entry;
	return result;
}
