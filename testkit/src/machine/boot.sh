# Becomes the first process of a system of its own: this machine's files below a layer that is in memory and passes, no network
# but loopback, no unit but the basic ones. It is run in new namespaces. Its arguments: an empty folder, and the programs that are
# to be in /usr/local/bin.
set -eu
folder=$1
shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
root=$folder/root
mkdir "$folder/upper" "$folder/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mkdir -p "$root/usr/local/bin"
for program; do
    name=$root/usr/local/bin/${program##*/}
    rm -f "$name"
    : >"$name"
    mount --bind "$program" "$name"
done
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t cgroup2 cgroup2 sys/fs/cgroup
# What the machine itself starts is not wanted here.
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires
ip link set lo up
mkdir -p run/before
pivot_root . run/before
umount -l /run/before
export container=endtoend
exec /lib/systemd/systemd --system --unit=basic.target --show-status=no --default-standard-output=journal
