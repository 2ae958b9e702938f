# Makes a container's root file system in the mount namespace that it is started in, and becomes the container.
#
# rootfs.sh ROOT [ro|rw SOURCE TARGET]... -- rw|ro COMMAND...
set -eu
root=$1
shift

mount -t tmpfs -o mode=0755 none "$root"
for folder in bin sbin lib lib32 lib64 libx32 etc usr; do
    if [ -L "/$folder" ]; then
        cp -P "/$folder" "$root/$folder"
    elif [ -d "/$folder" ]; then
        mkdir "$root/$folder"
        mount --bind "/$folder" "$root/$folder"
        mount -o remount,bind,ro "$root/$folder"
    fi
done
mkdir "$root/proc" "$root/dev" "$root/run" "$root/var"
mkdir -m 1777 "$root/tmp"
# Relative: targets are looked up from outside this root.
ln -s ../run "$root/var/run"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"

while [ "$1" != -- ]; do
    target=$root$3
    if [ -d "$2" ]; then
        mkdir -p "$target"
    elif ! [ -e "$target" ]; then
        mkdir -p "$(dirname "$target")"
        : > "$target"
    fi
    mount --bind "$2" "$target"
    [ "$1" = rw ] || mount -o remount,bind,ro "$target"
    shift 3
done
[ "$2" = rw ] || mount -o remount,ro "$root"
shift 2
exec chroot "$root" "$@"
