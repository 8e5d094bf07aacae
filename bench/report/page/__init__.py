"""The report page: `index.html` and one folder of scripts and data beside it, opened from disk without a server."""
