// flags: -O0
#include <ctype.h>
static void capitalize(char *s) { s[0] = toupper(s[0]); }
int main(void)
{
	capitalize("metres");
	return 0;
}
