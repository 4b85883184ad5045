"""
What the gateway costs, beside nginx and beside what else is written in Python: `make bench`. See README.md here.
"""
