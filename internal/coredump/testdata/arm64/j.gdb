#0  0x0000000000000000 in ?? ()
Thread 1 (LWP 144):
#0  0x0000000000000000 in ?? ()
#1  0x000000000040023c in jump (f=...) at deaths_arm64.c:17
#2  0x00000000004003bc in run (how=...) at deaths_arm64.c:35
#3  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#4  0x0000000000400154 in _start ()
SIGNAL 11 0
