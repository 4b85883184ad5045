"""
The operators' verbs: each decides by the registry, writes down what it will do, does it, and writes down what came.

Knows neither arguments nor output: `gateway.cli` calls it, and prints the values that it returns.
"""
