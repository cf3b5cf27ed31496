#0  item_size (i=i@entry=0xdead00000000) at deaths_arm64.c:13
Thread 1 (LWP 149):
#0  item_size (i=...) at deaths_arm64.c:13
#1  0x0000000000400390 in run (how=...) at deaths_arm64.c:39
#2  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#3  0x0000000000400154 in _start ()
SIGNAL 11 0xdead00000008
