"""
The data plane: what serves callers. It never imports the control plane, `evidence`, `administration` or `cli`.
"""
