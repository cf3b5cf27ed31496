import subprocess
all = [subprocess.Popen(["sleep", "30"]) for _ in range(200)]
