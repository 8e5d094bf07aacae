"""The leaderboard in print: Markdown, CSV, LaTeX, JSON, HTML and the terminal."""
