#include "engines/engine.h"
#include "base/options.h"
/* doctor: headers */
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#if HAVE_TIFF
#include <tiffio.h>
#endif
#if HAVE_PNG
#include <png.h>
#endif
#if HAVE_JPEG
#include <jpeglib.h>
#endif
#if HAVE_ZLIB
#include <zlib.h>
#endif
#if HAVE_DNNL
#include <dnnl.h>
#endif
#if HAVE_OPENBLAS
char *openblas_get_config(void);                     /* its header is not everywhere in the same folder */
#endif

/* remember one finding */
typedef struct { const char *section, *name; char *text; } finding;
static finding findings[64];
static int found;

static void find(const char *section, const char *name, const char *text)
{
  if (found < 64) findings[found++] = (finding){ section, name, copy_text(text) };
}

/* look at the machine */
/* The rest of the first line of a file that begins with key (after blanks, a colon and blanks), or "". */
static const char *line_of(const char *path, const char *key)
{
  static char line[512];
  FILE *f = fopen(path, "r");
  const char *text = "";
  while (f && !*text && fgets(line, sizeof line, f))
    if (!strncmp(line, key, strlen(key))) {
      text = line + strlen(key), text += strspn(text, " \t:");
      line[strcspn(line, "\n")] = 0;
    }
  if (f) fclose(f);
  return text;
}

static void look_at_machine(void)
{
  struct utsname u;
  uname(&u);
  find("build", "version", WBCSNET_VERSION);
  find("build", "compiler", COMPILER);
  find("machine", "system", say("%s %s %s", u.sysname, u.release, u.machine));
  char *processor = processor_name("/proc/cpuinfo", "/proc/device-tree/model");
  find("machine", "processor", processor), free(processor);
  find("machine", "cores", say("%d usable of %ld", omp_get_num_procs(), sysconf(_SC_NPROCESSORS_ONLN)));
  find("machine", "memory", say("%.1f GiB", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1073741824));
  const char *huge = line_of("/sys/kernel/mm/transparent_hugepage/enabled", "");
  find("machine", "huge pages", *huge ? huge : "unknown");
}

/* look at the libraries */
static void look_at_libraries(void)
{
#if HAVE_TIFF
  find("libraries", "libtiff", say("%.*s", (int)strcspn(TIFFGetVersion(), "\n"), TIFFGetVersion()));
#else
  find("libraries", "libtiff", "off: TIFF cannot be read or written; make deps, then build again");
#endif
#if HAVE_PNG
  find("libraries", "libpng", png_get_libpng_ver(NULL));
#else
  find("libraries", "libpng", "off: PNG cannot be read or written; make deps, then build again");
#endif
#if HAVE_ZLIB
  find("libraries", "zlib", zlibVersion());
#else
  find("libraries", "zlib", "off: compressed .npz cannot be read; make deps, then build again");
#endif
#if HAVE_JPEG
  find("libraries", "libjpeg", say("interface %d", JPEG_LIB_VERSION));
#else
  find("libraries", "libjpeg", "off: JPEG cannot be read; make deps, then build again");
#endif
  /* look at the matrix libraries */
  #if HAVE_DNNL
  static const struct { unsigned bits; const char *name; } isa[] = {
    { dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx" }, { dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16" },
    { dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni" }, { dnnl_cpu_isa_avx512_core, "avx512_core" },
    { dnnl_cpu_isa_avx2_vnni, "avx2_vnni" }, { dnnl_cpu_isa_avx2, "avx2" }, { dnnl_cpu_isa_avx, "avx" }, { dnnl_cpu_isa_sse41, "sse41" },
  };
  unsigned bits = (unsigned)dnnl_get_effective_cpu_isa();
  const char *name = "generic";
  for (int i = 7; i >= 0; i--)
    if ((bits & isa[i].bits) == isa[i].bits) name = isa[i].name;
  const dnnl_version_t *v = dnnl_version();
  find("libraries", "oneDNN", say("%d.%d.%d, instruction set %s", v->major, v->minor, v->patch, name));
  #else
  find("libraries", "oneDNN", "off: bench and doctor cannot measure this machine with it; make deps, then build again");
  #endif
  find("libraries", "LAPACK", HAVE_LAPACK ? "on" : "off: no linear discriminants (classical); make deps, then build again");
  #if HAVE_OPENBLAS
  find("libraries", "OpenBLAS", openblas_get_config());
  #else
  find("libraries", "OpenBLAS", "off: bench cannot measure this machine with it; make deps, then build again");
  #endif
}

/* look at the engines */
static void look_at_engines(void)
{
  for (int i = 0; engine_kinds[i]; i++) {
    const char *why = engine_kinds[i]->why_off();
    find("engines", engine_kinds[i]->name, why ? say("off: %s", why) : "usable");
  }
  const char *device;
  for (int i = 0; (device = engine_cuda_device(i)); i++) find("gpu", copy_text(say("%d", i)), device);
}

/* measure a matrix product */
static void measure(void)
{
#if HAVE_DNNL
  enum { N = 1536 };
  float *a = NEW(float, N * N), *b = NEW(float, N * N), *c = NEW(float, N * N);
  for (int i = 0; i < N * N; i++) a[i] = (float)(i % 7) - 3, b[i] = (float)(i % 5) - 2;
  double best = 1e9;
  for (int run = 0; run < 8; run++) {
    double start = seconds();
    dnnl_sgemm('N', 'N', N, N, N, 1, a, N, b, N, 0, c, N);
    double t = seconds() - start;
    if (run && t < best) best = t;                   /* the first run compiles the kernel */
  }
  find("machine", "sgemm", say("%.1f GFLOP/s in single precision, %d threads", 2.0 * N * N * N / best * 1e-9, omp_get_max_threads()));
  free(a), free(b), free(c);
#else
  find("machine", "sgemm", "not measured: needs oneDNN");
#endif
}

/* print the findings */
static void print_table(void)
{
  for (int i = 0; i < found; i++) {
    bool first = !i || strcmp(findings[i].section, findings[i-1].section);
    printf("%-10s %-11s %s\n", first ? findings[i].section : "", findings[i].name, findings[i].text);
  }
}

static void print_json(void)
{
  printf("{");
  for (int i = 0; i < found; i++) {
    bool first = !i || strcmp(findings[i].section, findings[i-1].section);
    if (first) printf("%s\n  \"%s\": {", i ? "}," : "", findings[i].section);
    printf("%s\n    ", first ? "" : ",");
    json_put_text(stdout, findings[i].name), printf(": "), json_put_text(stdout, findings[i].text);
  }
  printf("}\n}\n");
}

/* the doctor subcommand */
/* wbcsnet doctor: what this build and machine can do. Always exits 0: an engine that is off is an answer. */
int cmd_doctor(int argc, char **argv)
{
  bool as_json = false, rate = false;
  const option table[] = {
    { "json", OPTION_FLAG, &as_json, NULL, "print JSON" },
    { "measure", OPTION_FLAG, &rate, NULL, "measure the rate of a matrix product (a second)" },
    {0}
  };
  options_read(argc, argv, table, "doctor [--json] [--measure]", "Say what this build and this machine can do, and why an engine is off.",
               "  wbcsnet doctor --measure\n", NULL, NULL, 0);
  look_at_machine();
  if (rate) measure();
  look_at_libraries();
  look_at_engines();
  as_json ? print_json() : print_table();
  return 0;
}
