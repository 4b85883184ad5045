"""
What a node tells of itself in numbers: which metrics there are, and how their values are kept, passed on and shown.

Knows nothing of where a number comes from. Both planes stand on it: a worker counts and tells, the control plane asks
and shows. Nothing that a caller sends becomes a label.
"""
