"""
The control plane: what operators see of a running node. Never on a call's path; changes nothing.
"""
