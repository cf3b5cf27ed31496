// flags: -O0
// No recursion: one array larger than the stack's limit.
#include <stdio.h>
#include <string.h>
__attribute__((noinline)) static int render(int w)
{
	char frame[12 << 20];
	memset(frame, w, 100);
	return frame[w];
}
int main(int argc, char **argv)
{
	puts("rendering");
	fflush(stdout);
	return render(argc);
}
