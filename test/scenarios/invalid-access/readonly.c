#include <ctype.h>
int main(void)
{
	char *volatile unit = "metres";
	unit[0] = toupper(unit[0]);
	return 0;
}
