"""
The supervisor: keeps a node's two processes, the worker and the control plane, and ends when both have.

It serves nobody and knows no rule, so there is next to nothing in it that could fail. What lives as long as the node
does is held here: the right to serve from the data folder, and both listening sockets. Imports the standard library and
words of ours alone: it is there all the time, and every library in it would be memory that serves nobody.
"""
