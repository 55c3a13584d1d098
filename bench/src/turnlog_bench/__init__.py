"""The yardsticks: each figure of Turnlog measured in one run beside what it is held to. See `bench/README.md`."""
