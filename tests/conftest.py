"""Tests run on eight virtual CPU devices, so that sharding is real; set before JAX is first imported.

Most of their time is compiling small programs, so the compiler is told not to optimise.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0")
