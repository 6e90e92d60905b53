/* Images whose file must be asked what its numbers mean: pages, ranges, signs, channels, turned photographs, missing ends. Right pixels, or a refusal. */
#include "base/base.h"
#include "base/image.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { H = 6, W = 10 };
static char folder[256];
static const char *at(const char *name) { return say("%s/%s", folder, name); }

/* The picture: 8-bit samples of its own for each pixel and channel. */
static int value(int y, int x, int c) { return (y * 41 + x * 23 + c * 71 + y * x * c) % 256; }

static image_how how;
static image m;
static char why[256];
static bool read_file(const char *path, int white, int page)
{
  size_t n;
  char *bytes = file_load(path, &n, why);
  how = (image_how){ .white = white, .page = page };
  const bool good = bytes && image_read_as(bytes, n, &how, &m, why);
  free(bytes);
  return good;
}

/* The largest difference from the picture's channels a, b, c at h x w; 1000 when it is no such image. */
static int off(bool good, int h, int w, int a, int b, int c)
{
  const int channel[3] = { a, b, c };
  int worst = 0;
  if (!good) printf("# %s\n", why);
  if (!good || m.h != h || m.w != w) { if (good) printf("# %d x %d\n", m.w, m.h); image_free(&m); return 1000; }
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++)
      for (int k = 0; k < 3; k++) {
        const int d = abs(m.rgb[(y * w + x) * 3 + k] - value(y, x, channel[k]));
        if (d > worst) worst = d;
      }
  image_free(&m);
  return worst;
}
static void refused(const char *what, bool good, const char *word, const char *hint)
{
  const bool hinted = hint ? how.hint && strstr(how.hint, hint) : !how.hint;
  ok(!good && strstr(why, word) && hinted, "%s: %s (%s)", what, good ? "read" : why, how.hint ? how.hint : "");
  image_free(&m);
}

/* ---------- TIFF ---------- */
#if !defined HAVE_TIFF || HAVE_TIFF
#include <tiffio.h>
typedef struct { int h, w, bits, samples, photometric, format, apart, role, extra; const char *text; double white; int old_white; } page;
static int number(const page *p, int y, int x, int s, int channel);

/* Adds a page whose samples are the picture's channels from `channel` on, to `bits` each, by number(). */
static void add_page(TIFF *t, page p, int channel)
{
  if (!p.h) p.h = H, p.w = W;
  if (!p.samples) p.samples = 1;
  if (!p.bits) p.bits = 8;
  uint16_t extra[8] = { (uint16_t)p.extra };
  const int colours = p.photometric == PHOTOMETRIC_RGB || p.photometric == PHOTOMETRIC_CIELAB || p.photometric == PHOTOMETRIC_ICCLAB ? 3 : 1;
  TIFFSetField(t, TIFFTAG_IMAGEWIDTH, p.w), TIFFSetField(t, TIFFTAG_IMAGELENGTH, p.h), TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, 4);
  TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, p.bits), TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, p.samples), TIFFSetField(t, TIFFTAG_PHOTOMETRIC, p.photometric);
  TIFFSetField(t, TIFFTAG_PLANARCONFIG, p.apart ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
  if (p.samples > colours) TIFFSetField(t, TIFFTAG_EXTRASAMPLES, p.samples - colours, extra);
  if (p.format) TIFFSetField(t, TIFFTAG_SAMPLEFORMAT, p.format);
  if (p.role) TIFFSetField(t, TIFFTAG_SUBFILETYPE, p.role);
  if (p.text) TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION, p.text);
  if (p.white > 0) TIFFSetField(t, TIFFTAG_SMAXSAMPLEVALUE, p.white);
  if (p.old_white) TIFFSetField(t, TIFFTAG_MAXSAMPLEVALUE, p.old_white);
  const int inside = p.apart ? 1 : p.samples, planes = p.apart ? p.samples : 1;
  for (int plane = 0, strip = 0; plane < planes; plane++)
    for (int y0 = 0; y0 < p.h; y0 += 4, strip++) {
      const int rows = p.h - y0 < 4 ? p.h - y0 : 4, row = (p.w * inside * p.bits + 7) / 8;
      uint8_t *b = NEW(uint8_t, row * rows);
      for (int y = 0; y < rows; y++)
        for (int i = 0; i < p.w * inside; i++) {
          const int v = number(&p, y0 + y, i / inside, i % inside + plane, channel + i % inside + plane);
          uint8_t *to = b + y * row;
          if (p.bits == 16) ((uint16_t *)(void *)to)[i] = (uint16_t)v;
          else if (p.bits == 32) ((float *)(void *)to)[i] = (float)v;
          else for (int k = 0; k < p.bits; k++) if (v >> (p.bits - 1 - k) & 1) to[(i * p.bits + k) / 8] |= (uint8_t)(128 >> (i * p.bits + k) % 8);
        }
      TIFFWriteEncodedStrip(t, (uint32_t)strip, b, row * rows);
      free(b);
    }
  TIFFWriteDirectory(t);
}

/* The sample as the page has it: v / 255 of the page's white; a fixed colour in CIELab. */
static int range, lowest, lab[3];
static int number(const page *p, int y, int x, int s, int channel)
{
  if (p->photometric == PHOTOMETRIC_CIELAB || p->photometric == PHOTOMETRIC_ICCLAB) return lab[s];
  const int v = range ? (value(y, x, channel) * range + 127) / 255 : value(y, x, channel);
  return v + lowest;
}

static const char *written(const page *p, int n)
{
  static int turn;
  const char *path = at(say("t%d.tif", turn++));
  TIFF *t = TIFFOpen(path, "w");
  for (int i = 0; i < n; i++) add_page(t, p[i], n == 3 ? i : 0);
  TIFFClose(t);
  return path;
}
static bool read_one(page p, int white) { return read_file(written(&p, 1), white, 0); }
static bool read_pages(page a, page b, page c, int page_wanted) { return read_file(written((page[]){ a, b, c }, 3), 0, page_wanted); }

static const char *ome(const char *counts, const char *channels)
{
  return say("<?xml version=\"1.0\"?><OME xmlns=\"x\"><Image ID=\"Image:0\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"XYCZT\" %s>%s</Pixels></Image></OME>", counts, channels);
}
#define GREY .photometric = PHOTOMETRIC_MINISBLACK
#define RGB .photometric = PHOTOMETRIC_RGB, .samples = 3
#define RED "<Channel ID=\"0\" Color=\"-16776961\"/>"
#define GREEN "<Channel ID=\"1\" Color=\"16711935\"/>"
#define BLUE "<Channel ID=\"2\" Color=\"65535\"/>"

static void test_pages(void)
{
  const page grey = { GREY };
  const char *three = "SizeX=\"10\" SizeY=\"6\" SizeC=\"3\" SizeZ=\"1\" SizeT=\"1\"";
  range = 0;
  ok(off(read_pages((page){ GREY, .text = ome(three, "") }, grey, grey, 0), H, W, 0, 1, 2) == 0, "OME: three pages are red, green and blue");
  ok(off(read_pages((page){ GREY, .text = ome(three, BLUE GREEN RED) }, grey, grey, 0), H, W, 2, 1, 0) == 0, "OME: pages in the colours that it names");
  ok(off(read_pages((page){ GREY, .text = ome(three, "<TiffData FirstC=\"0\" IFD=\"1\"/><TiffData FirstC=\"1\" IFD=\"0\"/><TiffData FirstC=\"2\" IFD=\"2\"/>") }, grey, grey, 0), H, W, 1, 0, 2) == 0,
     "OME: pages in the order that it names");
  ok(off(read_pages((page){ GREY, .text = "ImageJ=1.53t\nimages=3\nchannels=3\nmode=composite\n" }, grey, grey, 0), H, W, 0, 1, 2) == 0, "ImageJ: three channels are red, green and blue");
  refused("OME in other colours", read_pages((page){ GREY, .text = ome(three, "<Channel Color=\"-16776961\"/>" GREEN "<Channel Color=\"16777215\"/>") }, grey, grey, 0), "in other colours", "--page 1");
  refused("a stack of OME", read_pages((page){ GREY, .text = ome("SizeC=\"1\" SizeZ=\"3\"", "") }, grey, grey, 0), "of a stack", "--page 1");
  refused("a stack of ImageJ", read_pages((page){ GREY, .text = "ImageJ=1.53t\nimages=3\nslices=3\n" }, grey, grey, 0), "of a stack", "--page 1");
  refused("ImageJ's channels without their pages", read_one((page){ GREY, .text = "ImageJ=1.53t\nimages=3\nchannels=3\n" }, 0), "1 page, 10 x 6, described as 3 channels", "--page 1");
  refused("three pages of grey that nothing explains", read_pages(grey, grey, grey, 0), "3 pages of 10 x 6, each without colours", "--page 1");
  refused("three photographs in one file", read_pages((page){ RGB }, (page){ RGB }, (page){ RGB }, 0), "3 pages of 10 x 6: which", "--page 1");
  ok(off(read_pages((page){ RGB }, (page){ RGB }, (page){ RGB }, 2), H, W, 1, 2, 3) == 0, "--page takes the second");
  refused("a page that is not there", read_pages((page){ RGB }, (page){ RGB }, (page){ RGB }, 4), "3 pages, and --page 4", NULL);
  const page small = { .h = 3, .w = 5, RGB }, marked = { .h = 3, .w = 5, RGB, .role = FILETYPE_REDUCEDIMAGE }, mask = { GREY, .role = FILETYPE_MASK };
  ok(off(read_file(written((page[]){ small, { RGB } }, 2), 0, 0), H, W, 0, 1, 2) == 0, "a thumbnail before the image");
  ok(off(read_file(written((page[]){ marked, { RGB } }, 2), 0, 0), H, W, 0, 1, 2) == 0, "... that says so");
  ok(off(read_file(written((page[]){ { RGB }, small }, 2), 0, 0), H, W, 0, 1, 2) == 0, "a thumbnail behind it");
  ok(off(read_file(written((page[]){ mask, { RGB } }, 2), 0, 0), H, W, 0, 1, 2) == 0, "a mask of the image's size");
}

static void test_ranges(void)
{
  range = 4095;
  refused("12 bits in 16", read_one((page){ RGB, .bits = 16 }, 0), "at most 4095, near black", "--white 4095");
  refused("12 bits in 16, grey", read_one((page){ GREY, .bits = 16 }, 0), "near black", "--white 4095");
  ok(off(read_one((page){ RGB, .bits = 16 }, 4095), H, W, 0, 1, 2) == 0, "--white 4095");
  ok(off(read_one((page){ RGB, .bits = 16, .apart = 1 }, 4095), H, W, 0, 1, 2) == 0, "... planes apart");
  ok(off(read_one((page){ GREY, .bits = 16 }, 4095), H, W, 0, 0, 0) == 0, "... grey");
  ok(off(read_one((page){ RGB }, 4095), H, W, 0, 1, 2) > 0, "(samples of 8 bits that hold 12 are nonsense)");
  ok(off(read_one((page){ RGB, .bits = 16, .white = 4000 }, 0), H, W, 0, 1, 2) == 0, "SMaxSampleValue, rounded up to whole bits");
  ok(off(read_one((page){ RGB, .bits = 16, .old_white = 4095 }, 0), H, W, 0, 1, 2) == 0, "MaxSampleValue");
  ok(off(read_one((page){ RGB, .bits = 16, .text = ome("SignificantBits=\"12\"", "") }, 0), H, W, 0, 1, 2) == 0, "OME's SignificantBits");
  ok(off(read_one((page){ RGB, .bits = 12 }, 0), H, W, 0, 1, 2) == 0, "samples of 12 bits, packed");
  range = 1023;
  ok(off(read_one((page){ GREY, .bits = 10 }, 0), H, W, 0, 0, 0) == 0, "samples of 10 bits, packed, grey");
  range = 16383;
  ok(off(read_one((page){ RGB, .bits = 16 }, 16383), H, W, 0, 1, 2) == 0, "--white 16383");
  read_one((page){ RGB, .bits = 16 }, 0);
  ok(strstr(how.note, "dark; --white 16383"), "14 bits in 16 are read with a note: %s", how.note);
  image_free(&m);
  range = 65535;
  ok(off(read_one((page){ RGB, .bits = 16 }, 0), H, W, 0, 1, 2) == 0 && !how.note[0], "16 bits in 16");
  range = 32767;
  ok(off(read_one((page){ RGB, .bits = 16, .format = SAMPLEFORMAT_INT }, 0), H, W, 0, 1, 2) == 0, "signed samples of 16 bits");
  range = 127;
  ok(off(read_one((page){ RGB, .bits = 8, .format = SAMPLEFORMAT_INT }, 0), H, W, 0, 1, 2) <= 1, "signed samples of 8 bits");
  range = 4095;
  refused("signed, 12 bits in 16", read_one((page){ RGB, .bits = 16, .format = SAMPLEFORMAT_INT }, 0), "at most 4095, near black", "--white");
  lowest = -1000;
  refused("samples below zero", read_one((page){ RGB, .bits = 16, .format = SAMPLEFORMAT_INT }, 0), "from -1000 to 3095", "--white");
  ok(read_one((page){ RGB, .bits = 16, .format = SAMPLEFORMAT_INT }, 4095) && m.rgb[0] == 0, "... are black when white is known");
  image_free(&m);
  range = lowest = 0;
  refused("floating point", read_one((page){ RGB, .bits = 32, .format = SAMPLEFORMAT_IEEEFP }, 0), "32-bit floating-point", "8 or 16 bits");
  refused("32-bit integers", read_one((page){ RGB, .bits = 32 }, 0), "32-bit samples", "8 or 16 bits");
}

static void test_channels(void)
{
  range = 0;
  ok(off(read_one((page){ GREY, .samples = 3 }, 0), H, W, 0, 1, 2) == 0, "three channels that do not say they are RGB");
  ok(off(read_one((page){ GREY, .samples = 3, .apart = 1 }, 0), H, W, 0, 1, 2) == 0, "... in planes");
  ok(off(read_one((page){ .photometric = PHOTOMETRIC_RGB, .samples = 5 }, 0), H, W, 0, 1, 2) == 0, "RGB and two more channels");
  ok(off(read_one((page){ .photometric = PHOTOMETRIC_RGB, .samples = 5, .apart = 1 }, 0), H, W, 0, 1, 2) == 0, "... in planes");
  refused("two channels", read_one((page){ GREY, .samples = 2 }, 0), "2 channels", "as RGB");
  refused("five channels", read_one((page){ GREY, .samples = 5 }, 0), "5 channels", "as RGB");
  /* CIELab of what is white, grey and sRGB's red and blue under D50, from the CIE's formulas */
  static const struct { int l, a, b, rgb[3], form; } known[] = { { 255, 0, 0, { 255, 255, 255 }, 8 }, { 136, 0, 0, { 127, 127, 127 }, 8 }, { 138, 81, 70, { 255, 0, 0 }, 8 },
    { 75, 68, -112, { 0, 0, 255 }, 8 }, { 0, 0, 0, { 0, 0, 0 }, 8 }, { 138, 81, 70, { 255, 0, 0 }, 9 }, { 65535, 0, 0, { 255, 255, 255 }, 16 }, { 35585, 20685, 17892, { 255, 0, 0 }, 16 } };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    const bool icc = known[i].form == 9;
    lab[0] = known[i].l, lab[1] = known[i].a + (icc ? 128 : 0), lab[2] = known[i].b + (icc ? 128 : 0);
    bool good = read_one((page){ .samples = 3, .photometric = icc ? PHOTOMETRIC_ICCLAB : PHOTOMETRIC_CIELAB, .bits = known[i].form == 16 ? 16 : 8 }, 0);
    for (int c = 0; good && c < 3; c++) good = abs(m.rgb[c] - known[i].rgb[c]) <= 3;
    ok(good, "CIELab (%d): %d %d %d is %d %d %d", known[i].form, lab[0], lab[1], lab[2], m.rgb ? m.rgb[0] : -1, m.rgb ? m.rgb[1] : -1, m.rgb ? m.rgb[2] : -1);
    image_free(&m);
  }
}

/* The file of a few odd pages, cut and with bits flipped: a message or a picture, never a crash. */
static void test_damage(void)
{
  range = 4095;
  size_t n;
  const page grey = { GREY, .bits = 16 };
  const char *path = written((page[]){ { GREY, .bits = 16, .text = ome("SizeC=\"3\" SignificantBits=\"12\"", RED GREEN BLUE) }, grey, grey }, 3);
  char *good = file_load(path, &n, why), *bad = new_bytes(n);
  int silent = 0, whole = 0;
  for (int k = 0; k < 4000; k++) {
    const size_t length = k < 1000 ? n * (size_t)k / 1000 : n;
    char *exact = malloc(length ? length : 1);
    memcpy(bad, good, n);
    for (unsigned j = 0, r = (unsigned)k * 2654435761u; k >= 1000 && j < 3; j++, r = r * 1664525u + 1013904223u) bad[r % n] = (char)(r >> 24);
    memcpy(exact, bad, length);
    how = (image_how){0};
    const bool read = image_read_as(exact, length, &how, &m, why);
    silent += !read && !why[0], whole += read && k < 900;
    image_free(&m), free(exact);
  }
  ok(!silent && !whole, "4000 damaged files of three pages: %d refused without a reason, %d cut ones read", silent, whole);
  free(good), free(bad);
}
static void test_tiff(void) { test_pages(), test_ranges(), test_channels(), test_damage(); }
#else
static void test_tiff(void) { skip("built without libtiff"); }
#endif

/* ---------- PNG ---------- */
#if !defined HAVE_PNG || HAVE_PNG
#include <png.h>
static const char *png16(int white, bool alpha)
{
  static int turn;
  const char *path = at(say("p%d.png", turn++));
  FILE *f = fopen(path, "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, f);
  png_set_IHDR(png, info, W, H, 16, alpha ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < H; y++) {
    uint8_t row[W * 8], *p = row;
    for (int x = 0; x < W; x++)
      for (int c = 0; c < (alpha ? 4 : 3); c++) {
        const int v = c == 3 ? 65535 : (value(y, x, c) * white + 127) / 255;
        *p++ = (uint8_t)(v >> 8), *p++ = (uint8_t)v;
      }
    png_write_row(png, row);
  }
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  fclose(f);
  return path;
}

static void test_png(void)
{
  refused("PNG, 12 bits in 16", read_file(png16(4095, 0), 0, 0), "at most 4095, near black", "--white 4095");
  refused("... with alpha", read_file(png16(4095, 1), 0, 0), "at most 4095, near black", "--white 4095");
  ok(off(read_file(png16(4095, 0), 4095, 0), H, W, 0, 1, 2) == 0, "PNG, --white 4095");
  ok(off(read_file(png16(4095, 1), 4095, 0), H, W, 0, 1, 2) == 0, "... with alpha");
  ok(off(read_file(png16(65535, 0), 0, 0), H, W, 0, 1, 2) == 0 && !how.note[0], "PNG, 16 bits");
  read_file(png16(16383, 0), 0, 0);
  ok(strstr(how.note, "--white 16383"), "PNG, 14 bits in 16: %s", how.note);
  image_free(&m);
}
#else
static void test_png(void) { skip("built without libpng"); }
#endif

/* ---------- turned photographs, and JPEGs without their end ---------- */
/* A picture as it is stored, and the bytes of its file; with is what goes in at `place`. */
static uint8_t *file;
static size_t length;
static void load(const char *path) { free(file), file = (uint8_t *)file_load(path, &length, why); }
static bool read_with(const void *with, size_t n, size_t place, size_t cut)
{
  uint8_t *b = malloc(length + n - cut);                             /* exact size: a read past the end is seen by the sanitizer */
  memcpy(b, file, place), memcpy(b + place, with, n), memcpy(b + place + n, file + place, length - cut - place);
  how = (image_how){0};
  const bool good = image_read_as(b, length + n - cut, &how, &m, why);
  free(b);
  return good;
}

/* Is m the picture `plain` as EXIF's orientation says: which edge the first row and the first column are? */
static bool turned(const image *plain, int o)
{
  const bool across = o > 4;
  bool same = m.h == (across ? plain->w : plain->h) && m.w == (across ? plain->h : plain->w);
  for (int y = 0; same && y < m.h; y++)
    for (int x = 0; same && x < m.w; x++) {
      const int v = o == 3 || o == 4 || o == 7 || o == 8 ? m.h - 1 - y : y, u = o == 2 || o == 3 || o == 6 || o == 7 ? m.w - 1 - x : x;
      same = !memcmp(m.rgb + 3 * (y * m.w + x), plain->rgb + 3 * (across ? u * plain->w + v : v * plain->w + u), 3);
    }
  return same;
}

static const uint8_t exif[] = "MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\0\0\0\0\0\0\0";    /* one tag, its value at 18 and 19 */
enum { EXIF = 26 };
static void test_turned(const char *what, const uint8_t *head, size_t heads, size_t tail, size_t place, void (*seal)(uint8_t *, size_t))
{
  image plain;
  if (!read_with("", 0, place, 0)) { ok(0, "%s: %s", what, why); return; }
  plain = m;
  for (int o = 0; o <= 9; o++) {
    uint8_t b[60] = {0};
    memcpy(b, head, heads), memcpy(b + heads, exif, EXIF), b[heads + 19] = (uint8_t)o;
    if (seal) seal(b, heads + EXIF);
    const bool good = read_with(b, heads + EXIF + tail, place, 0);
    ok(good && turned(&plain, o < 1 || o > 8 ? 1 : o), "%s, EXIF orientation %d", what, o);
    image_free(&m);
  }
  image_free(&plain);
}

#if !defined HAVE_PNG || HAVE_PNG
static void put_crc(uint8_t *chunk, size_t n)
{
  uint32_t c = 0xffffffff;
  for (size_t i = 4; i < n; i++) {
    c ^= chunk[i];
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
  }
  for (int k = 0; k < 4; k++) chunk[n + (size_t)k] = (uint8_t)(~c >> (24 - 8 * k));
}
static void test_turned_png(void)
{
  load(png16(65535, 0));
  test_turned("PNG", (const uint8_t *)"\0\0\0\32eXIf", 8, 4, 33, put_crc);
}
#else
static void test_turned_png(void) { skip("built without libpng"); }
#endif

#if !defined HAVE_JPEG || HAVE_JPEG
#include <jpeglib.h>
static void write_jpeg(int scans)                                    /* 1: baseline; 3: a scan for each colour; 0: progressive */
{
  struct jpeg_compress_struct j = {0};
  struct jpeg_error_mgr e;
  static const jpeg_scan_info apart[3] = { { 1, { 0 }, 0, 63, 0, 0 }, { 1, { 1 }, 0, 63, 0, 0 }, { 1, { 2 }, 0, 63, 0, 0 } };
  const char *path = at(say("j%d.jpg", scans));
  FILE *f = fopen(path, "wb");
  j.err = jpeg_std_error(&e);
  jpeg_create_compress(&j);
  jpeg_stdio_dest(&j, f);
  j.image_width = 40, j.image_height = 24, j.input_components = 3, j.in_color_space = JCS_RGB;
  jpeg_set_defaults(&j);
  if (scans == 0) jpeg_simple_progression(&j);
  if (scans == 3) j.scan_info = apart, j.num_scans = 3;
  jpeg_start_compress(&j, TRUE);
  for (int y = 0; y < 24; y++) {
    uint8_t row[120], *p = row;
    for (int i = 0; i < 120; i++) row[i] = (uint8_t)value(y, i / 3, i % 3);
    jpeg_write_scanlines(&j, &p, 1);
  }
  jpeg_finish_compress(&j);
  jpeg_destroy_compress(&j);
  fclose(f);
  load(path);
}

static void test_jpeg(void)
{
  write_jpeg(1);
  test_turned("JPEG", (const uint8_t *)"\xff\xe1\0\42Exif\0", 10, 0, 2, NULL);
  static const struct { const char *what; int scans; } kind[] = { { "baseline", 1 }, { "progressive", 0 }, { "a scan for each colour", 3 } };
  for (int i = 0; i < 3; i++) {
    write_jpeg(kind[i].scans);
    image whole = {0};
    if (read_with("", 0, 2, 0)) whole = m;
    ok(whole.rgb && !how.note[0], "JPEG, %s", kind[i].what);
    const bool good = read_with("", 0, 2, 2);
    if (i < 2) ok(good && strstr(how.note, "end marker") && !memcmp(m.rgb, whole.rgb, 40 * 24 * 3), "... without its end marker: %s", good ? how.note : why);
    else ok(!good && strstr(why, "last scan"), "... without its end marker, where nobody can know that all scans are there: %s", why);
    image_free(&m);
    ok(!read_with("", 0, 2, 12) && strstr(why, "damaged JPEG"), "... without its last 12 bytes: %s", why);
    size_t last = length;
    while (last > 2 && (file[last - 2] != 0xff || file[last - 1] != 0xda)) last--;
    if (i) ok(!read_with("", 0, 2, length - last + 2) && strstr(why, "last scan"), "... without its last scan: %s", why);
    image_free(&m), image_free(&whole);
  }
}
#else
static void test_jpeg(void) { skip("built without libjpeg"); }
#endif

/* ---------- run lengths of BMP, and what is not read ---------- */
static void test_runs(void)
{
  static const uint8_t eight[] = "BM\0\0\0\0\0\0\0\0\106\0\0\0" "\50\0\0\0\5\0\0\0\3\0\0\0\1\0\10\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"
    "\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"                               /* blue 0 to 3; four colours */
    "\3\1\2\2\0\0" "\0\3\3\2\1\0\2\3\0\0" "\1\2\0\2\1\0\1\1\0\1";     /* 11122 | 321 33 | 2, skip one, 1, the end */
  static const uint8_t want[3][5] = { { 2, 0, 1, 0, 0 }, { 3, 2, 1, 3, 3 }, { 1, 1, 1, 2, 2 } };
  how = (image_how){0};
  bool good = image_read_as(eight, sizeof eight - 1, &how, &m, why) && m.h == 3 && m.w == 5;
  for (int i = 0; good && i < 15; i++) good = m.rgb[3 * i] == 0 && m.rgb[3 * i + 2] == want[i / 5][i % 5];
  ok(good, "a BMP of run lengths: runs, colours as they are, pixels skipped");
  image_free(&m);
  uint8_t four[sizeof eight], silent = 0;
  memcpy(four, eight, sizeof eight);
  FILE *f = fopen(at("runs.bmp"), "wb");                             /* for make fuzz */
  if (!f || fwrite(eight, sizeof eight - 1, 1, f) != 1 || fclose(f)) exit(1);
  four[28] = 4, four[30] = 2;
  memcpy(four + 70, "\5\22\0\0\0\5\43\22\60\0\0\0\0\1", 14);           /* 12121 | 23123 and padding | the end: the first row is skipped */
  static const uint8_t want4[3][5] = { { 0, 0, 0, 0, 0 }, { 2, 3, 1, 2, 3 }, { 1, 2, 1, 2, 1 } };
  good = image_read_as(four, sizeof eight - 1, &how, &m, why);
  for (int i = 0; good && i < 15; i++) good = m.rgb[3 * i + 2] == want4[i / 5][i % 5];
  ok(good, "... of four bits");
  image_free(&m);
  for (unsigned k = 0, r = 1; k < 20000; k++) {
    uint8_t *b = malloc(sizeof eight - 1);
    memcpy(b, k % 2 ? four : eight, sizeof eight - 1);
    for (int n = 0; n < 3; n++, r = r * 1664525u + 1013904223u) b[54 + (r >> 8) % (sizeof eight - 55)] = (uint8_t)(r >> 24);
    silent |= !image_read_as(b, sizeof eight - 1 - k % 7, &how, &m, why) && !why[0];
    image_free(&m), free(b);
  }
  ok(!silent, "... damaged: always a reason");
}

static void test_kinds(void)
{
  static const struct { const char *what, *bytes; size_t n; } kind[] = { { "WebP", "RIFF....WEBPVP8 ", 16 }, { "JPEG 2000", "\0\0\0\14jP  \r\n\x87\n", 12 }, { "JPEG 2000", "\xff\x4f\xff\x51\0\0", 6 },
    { "HEIC", "\0\0\0\30ftypheic\0\0\0\0", 16 }, { "AVIF", "\0\0\0\30ftypavif\0\0\0\0", 16 }, { "GIF", "GIF89a", 6 }, { "Photoshop", "8BPS\0\1", 6 }, { "JPEG XL", "\xff\x0a\0\0", 4 } };
  for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
    how = (image_how){0};
    refused(kind[i].what, image_read_as(kind[i].bytes, kind[i].n, &how, &m, why), say("%s, which is not read", kind[i].what), "PNG or TIFF");
  }
  bool ours;
  ok(!image_kind("BMI,age\n21.5,30\nand so on, a table\n", 34, &ours), "a text that begins like a BMP is none");
}

int main(void)
{
  const char *keep = getenv("IMAGE_FOLDER");                         /* make fuzz begins from these files */
  if (keep) snprintf(folder, sizeof folder, "%s", keep);
  else snprintf(folder, sizeof folder, "%s/odd-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!keep && !mkdtemp(folder)) return 1;
  test_tiff(), test_png(), test_turned_png(), test_jpeg(), test_runs(), test_kinds();
  free(file);
  if (!keep && system(say("rm -rf '%s'", folder))) return 1;
  return done_testing();
}
