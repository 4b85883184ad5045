"""
noojee-gateway: local tokens in, Noojee's keys out, and every call on record.
"""

__version__ = "0.1.0"
