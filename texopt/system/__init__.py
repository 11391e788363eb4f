"""The computer: devices, memory, processes, files, images, YAML, and several processes that work as one."""
