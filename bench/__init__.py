"""Measuring the shop against the machine's own limits."""
