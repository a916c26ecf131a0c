"""The jobs that users come for, one function each: a command and `import fulora` call the same one."""
