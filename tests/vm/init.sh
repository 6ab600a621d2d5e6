#!/bin/busybox sh
# The first process of the virtual machine. It loads the modules, puts the host's root in place,
# runs /script there, and ends the machine with the exit code of the script.
#
# Standard output of the script goes to the second serial port, all else to the first.

# Ends the machine: QEMU's debug device at port 0x501 exits with 2 * code + 1, of which the host sees
# 8 bits. A larger code, of a script that a signal ended, must not look like success.
finish() {
	code=$1
	[ "$code" -le 127 ] || code=127
	printf "\\$(printf %03o "$code")" | dd of=/dev/port bs=1 count=1 seek=$((0x501)) 2>/dev/null
	poweroff -f
}

# What goes wrong in here is not the script's fault: no result, the host says so.
fail() {
	echo "init: $*"
	poweroff -f
}

/bin/busybox --install -s /bin
export PATH=/bin

while read -r module; do
	insmod "/modules/$module.ko" || fail "cannot load $module"
done </modules/order

mount -t devtmpfs dev /dev || fail "no /dev"
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host ||
	fail "no root"
mount -t proc proc /host/proc
mount -t sysfs sys /host/sys
mount --bind /dev /host/dev
mount -t debugfs debugfs /host/sys/kernel/debug
mount -t tracefs tracefs /host/sys/kernel/tracing
mount -t bpf bpf /host/sys/fs/bpf
for folder in mnt run var/tmp; do
	mount -t tmpfs tmpfs "/host/$folder" || fail "no memory at /$folder"
done
mkdir /dev/shm
mount -t tmpfs tmpfs /host/dev/shm

cp /script /host/run/script
stty -F /dev/ttyS1 raw
chroot /host /usr/bin/env -i \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	HOME=/run TMPDIR=/var/tmp LC_ALL=C.UTF-8 TZ=UTC \
	/bin/sh /run/script >/dev/ttyS1
finish $?
