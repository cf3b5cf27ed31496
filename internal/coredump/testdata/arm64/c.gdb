#0  item_size (i=0x0) at deaths_arm64.c:13
Thread 2 (LWP 147):
#0  call (e=..., d=..., c=..., b=..., a=..., n=...) at deaths_arm64.c:10
#1  thread () at deaths_arm64.c:29
#2  0x00000000004003dc in run (how=...) at deaths_arm64.c:38
#3  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#4  0x0000000000400154 in _start ()
Thread 1 (LWP 148):
#0  item_size (i=...) at deaths_arm64.c:13
#1  0x00000000004001d4 in inner (i=...) at deaths_arm64.c:14
#2  walk (i=..., n=...) at deaths_arm64.c:15
#3  0x00000000004001c0 in walk (i=..., n=...) at deaths_arm64.c:15
#4  0x00000000004002d8 in in_thread () at deaths_arm64.c:25
#5  0x0000000000400324 in thread () at deaths_arm64.c:28
SIGNAL 11 0x8
