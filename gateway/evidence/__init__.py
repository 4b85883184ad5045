"""
Reading the record: for the operator who looks on, and for the auditor who asks whether it was altered.

Needs the journal's folder alone: no settings, no registry, no key, no lock. Nothing here writes.
"""
