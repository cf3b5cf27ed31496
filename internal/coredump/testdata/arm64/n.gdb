#0  item_size (i=0x0) at deaths_arm64.c:13
Thread 1 (LWP 142):
#0  item_size (i=...) at deaths_arm64.c:13
#1  0x00000000004001d4 in inner (i=...) at deaths_arm64.c:14
#2  walk (i=..., n=...) at deaths_arm64.c:15
#3  0x00000000004001c0 in walk (i=..., n=...) at deaths_arm64.c:15
#4  0x00000000004001c0 in walk (i=..., n=...) at deaths_arm64.c:15
#5  0x00000000004001c0 in walk (i=..., n=...) at deaths_arm64.c:15
#6  0x000000000040040c in run (how=...) at deaths_arm64.c:33
#7  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#8  0x0000000000400154 in _start ()
SIGNAL 11 0x8
