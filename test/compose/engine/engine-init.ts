/**
 * The first process of the engine's namespaces: `sh -c ENGINE_INIT engine FOLDER CGROUP`. What the engine keeps is in
 * memory, and its bridges, rules and mounts are its namespaces': all goes with the last process in them.
 */
export const ENGINE_INIT = `
set -e
memory="$1/memory"
mount -t tmpfs -o mode=0711 memory "$memory"
mkdir "$memory/data" "$memory/exec" "$memory/etc" "$memory/etc-work"
mount -t tmpfs run /run
mount -t overlay -o "lowerdir=/etc,upperdir=$memory/etc,workdir=$memory/etc-work" etc /etc
ip link set lo up
exec docker-init -- dockerd \\
  --host "unix://$1/docker.sock" --pidfile "$memory/docker.pid" \\
  --data-root "$memory/data" --exec-root "$memory/exec" --storage-driver overlay2 \\
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$2"
`;
