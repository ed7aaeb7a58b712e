"""Speed measurements. Each module here prints one JSON line whose `value` is a ratio, so that it means the same on every machine."""
