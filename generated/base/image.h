/* image.h: 8-bit RGB images: reading TIFF, PNG, JPEG and BMP; writing TIFF, PNG and BMP; cutting and
   resizing. */
#ifndef IMAGE_H
#define IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The owner of an image frees rgb with image_free. */
typedef struct { int h, w; uint8_t *rgb; /* (H, W, 3) */ } image;

/* Larger images are refused on reading: 64 million pixels are 192 MB. */
#ifndef IMAGE_MAX_PIXELS
#define IMAGE_MAX_PIXELS (64 * 1000 * 1000)
#endif

/* declare how images are read */
/* What a file may leave open, and what reading it found. white: the sample that becomes 255, where a sample has
   more than 8 bits (0: what the file says, else the largest that fits). page: which of a TIFF's images (from 1; 0: the
   only one). note: read, but something is odd; "" when not. hint: what helps after a refusal; NULL when nothing
   better is known than another file. */
typedef struct { int white, page; char note[256]; const char *hint; } image_how;

/* Read a TIFF, PNG, JPEG or BMP, told by its first bytes and not by its name. 16 bits become 8 by
   rounding v * 255 / 65535 (of a 16-bit grey TIFF the high byte, as libtiff does); grey and palettes
   become RGB; alpha is laid over white (BMP's fourth byte is ignored); a TIFF's orientation is obeyed.
   Returns false, with one line in why, for anything that is not a whole image of which it is known what its
   numbers mean; never prints, never dies on content. image_read warns of what is odd. */
bool image_read(const char *path, image *out, char why[256]);
bool image_read_bytes(const void *bytes, size_t n, image *out, char why[256]);
bool image_read_as(const void *bytes, size_t n, image_how *how, image *out, char why[256]);
/* "TIFF", "WebP", ...: what the first bytes of a file (132 are enough) say it is, and whether it is read here; NULL when it
   is no image that is known. */
const char *image_kind(const void *bytes, size_t n, bool *ours);
/* The bytes of an image's file, for image_read_bytes; NULL with the reason; free() them. */
char *image_file(const char *path, size_t *n, char why[256]);

/* Write beside and rename (dies with EXIT_FAIL). The TIFF is baseline, uncompressed, one strip, and a
   function of the pixels alone. The BMP is 24-bit. Without libpng the PNG is not compressed. */
void image_write_tiff(const char *path, const image *m);
void image_write_png(const char *path, const image *m);
void image_write_bmp(const char *path, const image *m);

/* The bytes that image_write_tiff writes; free() them. */
uint8_t *image_tiff_bytes(const image *m, size_t *n);

image image_new(int h, int w);                                     /* black */
/* The h x w window whose upper left corner is (y, x). Outside the image the nearest pixel is
   repeated. */
image image_crop(const image *m, int y, int x, int h, int w);
/* Bilinear with pixel centres aligned; when shrinking, the triangle is widened to cover the source, so
   that it averages. */
image image_resize(const image *m, int h, int w);
/* The image as a net wants it, to (H, W, c): c = 3 copies it, c = 1 takes its luma,
   0.299 R + 0.587 G + 0.114 B rounded. to may be m->rgb itself. */
void image_channels(const image *m, int c, uint8_t *to);
void image_free(image *m);
#endif
