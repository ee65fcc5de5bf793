/** Makes the guest's root: the host's files, what the guest has beyond them, and a layer in memory that takes writes. */
export const RAMDISK_INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /layer /memory /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t virtiofs -o ro host /host || echo 'GUEST has no files of the host'
/bin/busybox mount -t ext4 -o ro /dev/vda /layer || echo 'GUEST has no layer'
/bin/busybox mount -t tmpfs -o size=75% memory /memory
/bin/busybox mkdir /memory/upper /memory/work
/bin/busybox mount -t overlay -o lowerdir=/layer:/host,upperdir=/memory/upper,workdir=/memory/work overlay /root
# Moved, not mounted anew in there: until then /proc in there is the host's, in which "self" is whoever serves its files.
for mount in proc sys dev; do /bin/busybox mount --move /$mount /root/$mount; done
exec /bin/busybox switch_root /root /usr/lib/lariat-guest/init
`;

/** The first process of the guest: devices, network, then QEMU's agent, which carries out what the tests ask for. */
export const GUEST_INIT = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
# Without udev nobody else makes the nodes of device-mapper.
export DM_DISABLE_UDEV=1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
busybox hostname guest
ip link set lo up
ip link set eth0 up
for word in $(cat /proc/cmdline); do
  case "$word" in
    guest.address=*) ip addr add "\${word#*=}" dev eth0 ;;
    guest.gateway=*) ip route add default via "\${word#*=}" ;;
    guest.shell) (while :; do busybox setsid busybox cttyhack bash -i; done) & ;;
  esac
done
# Without udev there is no /dev/virtio-ports either, and a port gets its name some time after it has appeared.
while [ -z "$agent" ]; do
  for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = org.qemu.guest_agent.0 ] && agent="/dev/\${port##*/}"
  done
  [ -n "$agent" ] || sleep 0.1
done
echo 'GUEST ready'
while :; do qemu-ga --method virtio-serial --path "$agent" --statedir /run; done
`;
