"""``python -m tests.benchmarks NAME [--json FILE] [options]``: see :mod:`tests.benchmarks._run`."""

from tests.benchmarks._run import main

raise SystemExit(main())
