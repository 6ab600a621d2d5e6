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
 * N being a file in memory with the bundle. Nothing of Deno is copied or changed: its pages come
 * from the page cache, and /proc/self/exe is fuse4fs itself. The C library takes the arguments
 * from the stack at the entry, but keeps the environment that the loader saw, so that pointer is
 * set as well, through Deno's own reference to `environ`.
 *
 * There is no C library here: only system calls.
 */

typedef unsigned long word;

/* Filled in by launcher.ts, which finds it by its magic. Distances are from this structure. */
struct payload {
	word magic;
	long deno_entry;	/* where Deno begins */
	long environ_slot;	/* Deno's pointer to the C library's `environ` */
	long bundle;
	word bundle_size;
};

#define PAYLOAD_MAGIC 0x53463445535546UL /* "FUSE4FS" */

__attribute__((section(".payload"), used, visibility("hidden")))
volatile struct payload payload = { PAYLOAD_MAGIC, 1, 2, 3, 4 };

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
	"--node-modules-dir=none\0";

/* What goes in front of the user's environment. */
static const char deno_environment[] =
	"DENO_NO_UPDATE_CHECK=1\0"
	"DENO_NO_PACKAGE_JSON=1\0"
	/* Nowhere: Deno then keeps its caches in memory and leaves the user's home alone. */
	"DENO_DIR=/dev/null/none\0";

#define MEMFD_NAME "fuse4fs"
#define MFD_CLOEXEC 1

/* Where the new stack lies, ready to be copied, and where to go on with it. */
struct result {
	word *stack;	/* stack[-1] is its length in words */
	word entry;
};

#if defined(__x86_64__)
enum { SYS_write = 1, SYS_mmap = 9, SYS_exit_group = 231, SYS_memfd_create = 319 };

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
enum { SYS_write = 64, SYS_mmap = 222, SYS_exit_group = 94, SYS_memfd_create = 279 };

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

_Noreturn static void give_up(const char *reason)
{
	system_call(SYS_write, 2, (word)reason, length_of(reason), 0, 0, 0);
	for (;;)
		system_call(SYS_exit_group, 4, 0, 0, 0, 0, 0);
}

/* A file in memory with the bundle; its descriptor. */
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

static void put_path(char *path, word fd)
{
	static const char prefix[] = "/proc/self/fd/";
	char digits[20];
	int count = 0;

	for (word i = 0; i < sizeof(prefix) - 1; i++)
		*path++ = prefix[i];
	do {
		digits[count++] = '0' + fd % 10;
		fd /= 10;
	} while (fd);
	while (count)
		*path++ = digits[--count];
	*path = 0;
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

__attribute__((used)) struct result start(const word *stack)
{
	const word argc = stack[0];
	const word *argv = stack + 1;
	const word *envp = argv + argc + 1;
	const word env_words = words_of(envp);
	const word *auxv = envp + env_words;
	word aux_words = 0;
	struct result result;
	word *memory, *to, size;
	char *path;

	while (auxv[aux_words])
		aux_words += 2;
	aux_words += 2;

	/* Generous: every byte of the two lists counts as a word. Then the path of the bundle. */
	size = (argc + env_words + aux_words + sizeof(deno_arguments) + sizeof(deno_environment) +
		16) * sizeof(word) + 64;
	memory = (word *)system_call(SYS_mmap, 0, size, 3 /* read, write */,
				     0x22 /* private, anonymous */, -1, 0);
	if ((long)memory < 0 && (long)memory > -4096)
		give_up("fuse4fs: Out of memory\n");
	path = (char *)memory + size - 64;
	put_path(path, bundle_file());

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
	to = put_words(to, envp, env_words);
	to = put_words(to, auxv, aux_words);
	memory[0] = to - result.stack;
	result.entry = (word)&payload + payload.deno_entry;
	return result;
}
