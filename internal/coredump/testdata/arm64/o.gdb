#0  0x00000000004003ec in run (how=<optimized out>) at deaths_arm64.c:40
Thread 1 (LWP 150):
#0  0x00000000004003ec in run (how=...) at deaths_arm64.c:40
#1  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#2  0x0000000000400154 in _start ()
SIGNAL 11 0x400354
