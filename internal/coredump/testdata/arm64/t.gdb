#0  run (how=<optimized out>) at deaths_arm64.c:36
Thread 1 (LWP 145):
#0  run (how=...) at deaths_arm64.c:36
#1  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#2  0x0000000000400154 in _start ()
SIGNAL 5 0x400430
