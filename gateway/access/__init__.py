"""
Who may do what: values and pure rules over them. Time and peers come in as arguments; nothing here performs I/O.
"""
