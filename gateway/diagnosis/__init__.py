"""
Diagnosis: what stands between this gateway and a working call, looked at step by step and told in plain words.

`check` runs it once for an operator; the control plane's prober runs it every few minutes. Each probe is a file.
"""
