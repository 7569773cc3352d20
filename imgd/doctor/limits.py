"""Whether this machine's limits and memory are enough for what the settings ask."""

from typing import Final

from imgd.config import Settings
from imgd.doctor.finding import Finding, always, bad, ok, size_words, warn
from imgd.doctor.machine import UNLIMITED, Machine

MIB: Final = 1024**2
DESCRIPTORS_ELSE: Final = 256
DESCRIPTORS_A_CONNECTION: Final = 12  # What the daemon itself reckons with when it lowers connections_max.
SEGMENTS_WANTED: Final = 512
# Measured, see docs/sizing.md: what the processes take beside the budget.
DAEMON_BYTES: Final = 60 * MIB
SESSION_BYTES: Final = MIB // 20  # With its connection.
TEMPLATE_BYTES: Final = 205 * MIB  # With its libraries' pages, which other processes of the machine may share.
WORKER_BYTES: Final = 40 * MIB
_FIRST_TOUCH_SLOW_MS: Final = 3.0


def check_limits(machine: Machine, settings: Settings) -> list[Finding]:
    """Judge limits of descriptors, processes and sizes."""
    return [
        _descriptors(machine, settings), _processes(machine, settings), _sizes(machine, settings),
        always("locked memory", "nothing is locked: any limit (RLIMIT_MEMLOCK) will do"),
    ]  # fmt: skip


def check_memory(machine: Machine, settings: Settings) -> list[Finding]:
    """Judge memory, and what the kernel does with it."""
    return [
        _memory(machine, settings), _group(machine, settings), _overcommit(machine, settings),
        _huge(machine), _swap(machine, settings),
        always("/dev/shm", "not used: shared buffers are memfds, whose size no mount bounds; they count as memory"),
    ]  # fmt: skip


def check_processors(machine: Machine, settings: Settings) -> list[Finding]:
    """Judge how many workers there are for the processors."""
    may = min(float(machine.cpus), machine.cpu_quota)
    of = f"{machine.cpus} of {machine.cpus_online} processors"
    if machine.cpu_quota < machine.cpus:
        of += f", and a quota of {machine.cpu_quota:g}"
    found = f"{of}; workers_max is {settings.workers_max}, worker_threads {settings.worker_threads}"
    if settings.workers_max > 2 * may:
        change = f"workers_max = {max(1, int(may))} (more only helps when storage is slow)"
        return [warn("processors", found, change)]
    if settings.worker_threads > may + 0.5:
        change = f"worker_threads = {max(1, int(may))}"
        return [warn("processors", found, change)]
    return [ok("processors", found)]


def need_bytes(settings: Settings) -> float:
    """Reckon what all processes take at most in usual work; docs/sizing.md has the formula."""
    workers = settings.workers_max + settings.workers_idle_max
    own = DAEMON_BYTES + TEMPLATE_BYTES + workers * WORKER_BYTES
    return own + settings.budget_bytes + settings.tile_cache_bytes + SESSION_BYTES * settings.sessions_max


def _descriptors(machine: Machine, settings: Settings) -> Finding:
    connections, most = settings.connections_max, machine.nofile
    for_connections = max(8, (most - DESCRIPTORS_ELSE) // DESCRIPTORS_A_CONNECTION)
    wanted = DESCRIPTORS_ELSE + DESCRIPTORS_A_CONNECTION * connections + 2 * SEGMENTS_WANTED
    found = f"at most {_words(most, '')} ({machine.limits_of or 'RLIMIT_NOFILE, hard'})"
    change = f"LimitNOFILE={wanted} in the unit"
    change += f" (systemctl edit {machine.limits_of})" if machine.limits_of else f", or `ulimit -Hn {wanted}` before"
    if for_connections < 32:
        return bad("descriptors", f"{found}: enough for {for_connections} connections", change)
    if for_connections < connections:
        return warn(
            "descriptors", f"{found}: connections_max is lowered from {connections} to {for_connections}", change
        )
    return ok("descriptors", f"{found}, for {connections} connections and the segments of the budget")


def _processes(machine: Machine, settings: Settings) -> Finding:
    workers = settings.workers_max + settings.workers_idle_max
    wanted = 32 + workers * (settings.worker_threads + 3)
    most = min(machine.nproc if machine.uid else UNLIMITED, machine.cgroup_pids)
    found = f"{_words(most, '')} processes and threads; about {wanted} are wanted"
    if most < 32 + settings.worker_threads + 3:
        return bad("processes", found, f"TasksMax={4 * wanted} in the unit, `ulimit -u {4 * wanted}`")
    if most < wanted:
        return warn(
            "processes", found, f"TasksMax={4 * wanted} in the unit, `ulimit -u {4 * wanted}`, or fewer workers"
        )
    return ok("processes", found)


def _sizes(machine: Machine, settings: Settings) -> Finding:
    if machine.fsize_bytes < settings.budget_bytes:
        found = f"RLIMIT_FSIZE is {_words(machine.fsize_bytes)}: it holds for shared buffers, too"
        return bad("sizes of files", found, "ulimit -f unlimited, LimitFSIZE=infinity in the unit")
    if machine.as_bytes < 4 * 1024**3 + settings.budget_bytes:
        found = f"RLIMIT_AS is {_words(machine.as_bytes)}: frames are mapped whole"
        return bad("sizes of files", found, "ulimit -v unlimited, LimitAS=infinity in the unit")
    return ok("sizes of files", "RLIMIT_FSIZE and RLIMIT_AS do not stand in the way")


def _memory(machine: Machine, settings: Settings) -> Finding:
    need = need_bytes(settings)
    found = f"{size_words(need)} wanted at most, {size_words(settings.budget_bytes)} of it the budget"
    found += f"; {size_words(machine.memory_bytes)} in the machine, {size_words(machine.available_bytes)} to be had now"
    fitting = max(16, int((machine.memory_bytes * 0.6 - (need - settings.budget_bytes)) / MIB))
    if need > machine.memory_bytes:
        return bad("memory", found, f'budget_bytes = "{fitting}MiB", or more memory')
    if need > machine.available_bytes:
        return warn("memory", found, f'budget_bytes = "{fitting}MiB", or end something else')
    return ok("memory", found)


def _group(machine: Machine, settings: Settings) -> Finding:
    limit = machine.cgroup_memory_bytes
    if limit == UNLIMITED:
        return ok("control group", "sets no bound to memory")
    need = need_bytes(settings)
    found = f"{size_words(limit)} at most (MemoryMax); {size_words(need)} wanted; shared buffers count"
    change = f"MemoryMax={int(need * 1.25 / MIB)}M in the unit, or a smaller budget_bytes"
    if settings.budget_bytes + DAEMON_BYTES + TEMPLATE_BYTES > limit:
        return bad("control group", f"{found}: the kernel will kill it while it keeps its own bound", change)
    if need > limit:
        return warn("control group", found, change)
    return ok("control group", found)


def _overcommit(machine: Machine, settings: Settings) -> Finding:
    if machine.overcommit != 2:
        return ok("overcommit", f"vm.overcommit_memory is {machine.overcommit}")
    found = f"vm.overcommit_memory is 2, and {size_words(max(machine.commit_left_bytes, 0))} are left to be promised"
    if machine.commit_left_bytes < need_bytes(settings):
        return warn("overcommit", f"{found}: forking a worker may fail", "sysctl -w vm.overcommit_memory=0")
    return ok("overcommit", found)


def _huge(machine: Machine) -> Finding:
    found = f"shmem_enabled is {machine.huge or 'not told'}; "
    found += f"the first write to fresh memory takes {machine.touch_ms:.1f} ms/MiB"
    change = "echo never > /sys/kernel/mm/transparent_hugepage/shmem_enabled"
    if machine.huge in ("always", "force"):
        return warn("huge pages", f"{found}; a buffer may take up to 2 MiB more than the budget counts", change)
    if machine.touch_ms > _FIRST_TOUCH_SLOW_MS:
        change = "a larger budget_bytes (memory stays warm), and no memory balloon for this machine"
        return warn("huge pages", f"{found}: slow; first pictures wait for it", change)
    return ok("huge pages", found)


def _swap(machine: Machine, settings: Settings) -> Finding:
    if not machine.swap_bytes:
        return ok("swap", "none: what is kept stays in memory")
    found = f"{size_words(machine.swap_used_bytes)} of {size_words(machine.swap_bytes)} in use; "
    found += "shared buffers can be swapped out"
    if machine.swap_used_bytes > machine.swap_bytes / 10 or settings.budget_bytes > machine.available_bytes:
        return warn("swap", found, "MemorySwapMax=0 in the unit, or sysctl -w vm.swappiness=1")
    return ok("swap", found)


def _words(limit: int, unit: str = "bytes") -> str:
    if limit == UNLIMITED:
        return "unlimited"
    return size_words(limit) if unit else str(limit)
