#0  on_segv (sig=11) at deaths_arm64.c:18
Thread 1 (LWP 146):
#0  on_segv (sig=...) at deaths_arm64.c:18
#1  <signal handler called>
#2  item_size (i=...) at deaths_arm64.c:13
#3  0x00000000004001d4 in inner (i=...) at deaths_arm64.c:14
#4  walk (i=..., n=...) at deaths_arm64.c:15
#5  0x00000000004001c0 in walk (i=..., n=...) at deaths_arm64.c:15
#6  0x00000000004001c0 in walk (i=..., n=...) at deaths_arm64.c:15
#7  0x00000000004002a8 in handled () at deaths_arm64.c:22
#8  0x0000000000400438 in run (how=...) at deaths_arm64.c:37
#9  0x0000000000400464 in begin (sp=...) at deaths_arm64.c:44
#10 0x0000000000400154 in _start ()
SIGNAL 6 0x92
