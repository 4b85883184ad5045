"""
What the main table cannot show: cost as work grows, tails, memory. One file a question; each gives a `Series`.
"""
