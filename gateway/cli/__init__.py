"""
The command line: one file a noun. It reads words and secrets and prints results, and holds no rule.

Nothing heavy is imported before a verb needs it, so that `--help` and a usage error feel instant.
"""
