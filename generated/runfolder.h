/* runfolder.h: what every run folder holds, whoever writes it. */
#ifndef RUNFOLDER_H
#define RUNFOLDER_H
#include "dataset.h"

/* Write FOLDER/predictions.csv: the cells row[0..n-1] of the data set with prob (n, classes). Returns how many are right; of two
   classes of equal probability the first is taken. */
int predictions_write(const char *folder, const dataset *ds, const int *row, int n, const float *prob);

/* The processor's name, as /proc/cpuinfo has it; free() it. */
char *machine_name(void);

/* Write , "NAME": X into an object; null where x is not finite. */
void put_member(FILE *f, const char *name, double x);
#endif
