"""How much memory a run takes."""

import resource
import sys

import jax


def peak_memory_gb() -> float:
    """The most memory that was in use at once, in 10⁹ bytes: of this process's fullest device, on CPU of the process."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [s["peak_bytes_in_use"] for s in stats if s and "peak_bytes_in_use" in s]
    if peaks:
        return max(peaks) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
