#include <stdlib.h>
#include <string.h>
struct session { char *user; };
static void logout(struct session *s) { free(s->user); }
int main(void)
{
	struct session s = {strdup("anna")};
	logout(&s);
	logout(&s);
	return 0;
}
