#include "options.h"

/* wbcsnet doctor: engines, libraries, devices; why an engine is off. */
int cmd_doctor(int argc, char **argv)
{
  const option table[] = { {0} };
  options_read(argc, argv, table, "doctor", "Say what this build and this machine can do.", NULL, NULL, NULL, 0);
  printf("wbcsnet %s\n", WBCSNET_VERSION);
  return 0;
}
