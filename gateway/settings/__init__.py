"""
Settings: what an operator can set, where it is read from, and the reference that is made of it.

Imports nothing here, so that `config_file` costs none of pydantic's start-up time.
"""
