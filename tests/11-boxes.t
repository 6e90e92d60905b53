#!/usr/bin/perl
# wbcsnet import of photographs with boxes: YOLO's, COCO's and VOC's forms.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Import;

# A photograph whose pixels tell where they are, and which it is. Three boxes of 20 x 20 or a little less around known centres (y, x).
my ($h, $w) = (60, 100);
sub photo { my ($path, $n) = @_; bmp($path, $h, $w, sub { my ($y, $x) = @_; ($n, $y, $x) }) }
my @box = (['neutrophil', 30, 40, 20, 20], ['eosinophil', 25, 60, 20, 14], ['RBC', 40, 20, 10, 10]);   # class, cy, cx, w, h
my ($code, $said);
sub cells_are {
    my ($what, $o, %want) = @_;
    my %got = map { my ($f) = split /,/; ($f => pixel("$o/$f", 20, 10, 10)) } rows($o);
    is(join('; ', map { "$_ $got{$_}" } sort keys %got), join('; ', map { "$_ $want{$_}" } sort keys %want), $what);
}

# ---- YOLO ----
sub yolo { my (@use) = @_; join '', map { my ($c, $cy, $cx, $bw, $bh) = @{$box[$_]}; join(' ', $_, map { sprintf '%.6f', $_ } $cx / $w, $cy / $h, $bw / $w, $bh / $h) . "\n" } @use }
my $yolo = "$dir/yolo";
for my $part ('train', 'valid') {
    photo("$yolo/$part/images/p $part.bmp", $part eq 'train' ? 7 : 9);
    spit("$yolo/$part/labels/p $part.txt", yolo(0, 1, 2));
}
photo("$yolo/test/images/none.bmp", 3);
spit("$yolo/data.yaml", "train: ../train/images\nnc: 3\nnames: ['neutrophil', 'Eos',\n  \"RBC\"]\n");
fails('YOLO: a class that is none of ours', 3, qr/p train\.txt:3: found class 'RBC' \(2 times\).*--skip-classes RBC/s, 'import', '--size', 20, $yolo, out());
my $o = out();
($code, $said) = run('import', '--skip-classes', 'RBC', '--size', 20, $yolo, $o);
ok($code == 0 && $said =~ /boxes in YOLO's form/ && $said =~ /2 train, 2 val, 0 test/ && $said =~ /2 folders, rows or boxes of other classes/, 'YOLO: guessed, the split of its folders') or diag $said;
cells_are('YOLO: a window around each box', $o, 'neutrophil/train_images_p_train_0.tif' => '7 30 40', 'eosinophil/train_images_p_train_1.tif' => '7 25 60',
          'neutrophil/valid_images_p_valid_0.tif' => '9 30 40', 'eosinophil/valid_images_p_valid_1.tif' => '9 25 60');
is(join('|', map { (split /,/)[2] } rows($o)), join('|', ('train_images_p_train', 'valid_images_p_valid') x 2), 'YOLO: a group for each photograph');
spit("$yolo/data.yaml", "names:\n  0: neutrophil\n  1: Eos   # two\n  2: RBC\nnc: 3\n");
my $again = out();
run('import', '--skip-classes', 'RBC', '--size', 20, $yolo, $again);
is(slurp("$again/labels.csv"), slurp("$o/labels.csv"), 'YOLO: names in lines');
unlink "$yolo/data.yaml";
my $flat = "$dir/flat";
photo("$flat/a.bmp", 7), spit("$flat/a.txt", yolo(0, 1) . "2 0.2 0.6 0.1 0.2 0.93\r\n2 0.7 0.6 0.1 0.1\n");
spit("$flat/classes.txt", "neutrophil\neosinophil\nRBC\n");
$o = out();
run('import', '--layout', 'yolo', '--skip-classes', 'RBC', '--size', 20, $flat, $o);
cells_are('YOLO: boxes beside the photograph, a confidence, classes.txt', $o, 'neutrophil/a_0.tif' => '7 30 40', 'eosinophil/a_1.tif' => '7 25 60');
unlink "$flat/classes.txt";
$o = out();
($code, $said) = run('import', '--layout', 'yolo', '--map', '0=neutrophil,1=eosinophil,2=basophil', '--size', 20, '--crop', 30, $flat, $o);
is((split / /, pixel("$o/basophil/a_2.tif", 20, 10, 10))[0], 7, 'YOLO: numbers and --map; --crop');
ok($said =~ /1 boxes too small for a cell/, 'YOLO: a box of 10 x 6 pixels is counted as left out') or diag $said;
for my $bad (['0 0.5 0.5 0.2', qr/a\.txt:1: found '0 0\.5/], ['0 0.5 0.5 1.2 0.2', qr/a box of 1\.2 x 0\.2/], ['0 0.95 0.5 0.2 0.2', qr/a box from \(85, 24\) to \(105, 36\); expected one within the photograph of 100 x 60/],
             ['0 0.1 0.1 0.2 0.1 0.2 0.2', qr/outlines are not read/]) {
    spit("$flat/a.txt", "$bad->[0]\n");
    fails("YOLO: $bad->[0]", 3, $bad->[1], 'import', '--layout', 'yolo', '--map', '0=neu', $flat, out());
}

# ---- COCO ----
my $coco = "$dir/coco";
photo("$coco/test/a.bmp", 7), photo("$coco/test/b.bmp", 9);
my @ann = map { my ($c, $cy, $cx, $bw, $bh) = @{$box[$_]}; sprintf '{"id": %d, "image_id": 12, "category_id": %d, "bbox": [%g, %g, %g, %g], "iscrowd": 0}', $_, 5 - $_, $cx - $bw / 2, $cy - $bh / 2, $bw, $bh } 0 .. 2;
my $tail = '{"id": 9, "image_id": 3, "category_id": 5, "bbox": [10, 20, 20, 20]}';
sub coco { my (@a) = @_; return '{"info": {}, "images": [{"id": 12, "file_name": "a.bmp", "height": 60, "width": 100}, {"id": 3, "file_name": "b.bmp"}], "annotations": [' . join(', ', @a)
    . '], "categories": [{"id": 5, "name": "neutrophil"}, {"id": 4, "name": "Eosinophil"}, {"id": 3, "name": "RBC"}]}' }
spit("$coco/test/_annotations.coco.json", coco(@ann, $tail));
$o = out();
($code, $said) = run('import', '--skip-classes', 'RBC', '--size', 20, $coco, $o);
ok($code == 0 && $said =~ /boxes in COCO's form/ && $said =~ /0 train, 0 val, 3 test/, 'COCO: guessed, the split of its folder') or diag $said;
cells_are('COCO: a window around each box', $o, 'neutrophil/test_a_0.tif' => '7 30 40', 'eosinophil/test_a_1.tif' => '7 25 60', 'neutrophil/test_b_0.tif' => '9 30 20');
my $split = "$dir/coco2";
photo("$split/images/a.bmp", 7), photo("$split/images/b.bmp", 9), spit("$split/annotations/instances.json", coco(@ann, $tail));
$o = out();
($code, $said) = run('import', '--skip-classes', 'RBC', '--size', 20, $split, $o);
is(counts($o), '2, 1, 0, 0, 0', 'COCO: photographs in images/, the file in annotations/') or diag $said;
for my $bad ([coco('{"id": 1, "image_id": 77, "category_id": 5, "bbox": [1, 2, 3, 4]}'), qr/an image that is not listed/], [coco('{"id": 1, "image_id": 12, "category_id": 5, "bbox": [1, 2, 3]}'), qr/bbox of four numbers/],
             [coco('{"id": 1, "image_id": 12, "category_id": 5, "bbox": [90, 2, 30, 40]}'), qr/a box from \(90, 2\) to \(120, 42\)/], [coco(@ann) =~ s/a\.bmp/gone.bmp/r, qr/photograph 'gone\.bmp', which is not there/]) {
    spit("$split/annotations/instances.json", $bad->[0]);
    fails('COCO: damaged', 3, $bad->[1], 'import', '--skip-classes', 'RBC', $split, out());
}

# ---- VOC ----
my $voc = "$dir/voc";
photo("$voc/JPEGImages/a.bmp", 7);
sub voc { my ($file, @use) = @_; return "<annotation>\n<folder>x</folder>\n\t<filename> $file </filename>" . join('', map { my ($c, $cy, $cx, $bw, $bh) = @{$box[$_]};
    "<object>\n<name>$c</name><difficult>0</difficult><bndbox>\n<xmin>@{[$cx - $bw / 2]}</xmin><ymin>@{[$cy - $bh / 2]}</ymin><xmax>@{[$cx + $bw / 2]}</xmax><ymax>@{[$cy + $bh / 2]}</ymax></bndbox></object>" } @use) . '</annotation>' }
spit("$voc/Annotations/a.xml", voc('a.bmp', 0, 1, 2));
$o = out();
($code, $said) = run('import', '--skip-classes', 'RBC', '--size', 20, $voc, $o);
ok($code == 0 && $said =~ /boxes in VOC's form/, 'VOC: guessed') or diag $said;
cells_are('VOC: a window around each box', $o, 'neutrophil/JPEGImages_a_0.tif' => '7 30 40', 'eosinophil/JPEGImages_a_1.tif' => '7 25 60');
for my $bad ([voc('b.bmp', 0), qr/photograph 'b\.bmp', which is not there/], [voc('a.bmp', 0) =~ s/<xmax>.*<\/xmax>//r, qr/xmax ''; expected a number/], [voc('a.bmp', 0) =~ s/bndbox/bndbux/gr, qr/an object without a bndbox/],
             [voc('a.bmp', 0) =~ s/<xmax>50/<xmax>5/r, qr/a box from/]) {
    spit("$voc/Annotations/a.xml", $bad->[0]);
    fails('VOC: damaged', 3, $bad->[1], 'import', $voc, out());
}
spit("$voc/Annotations/a.xml", voc('a.bmp', 0) =~ s/<xmax>50.*?<\/xmax>/<xmax>150<\/xmax>/r =~ s/<xmin>30/<xmin>130/r);
fails('VOC: a box outside of its photograph', 3, qr/an image of 100 x 60, and a box around \(140, 30\)/, 'import', $voc, out());
# a speck
spit("$voc/Annotations/a.xml", voc('a.bmp', 0, 1) =~ s/<xmax>70/<xmax>55/r);
$o = out();
$said = (run('import', '--size', 20, $voc, $o))[1];
like($said, qr/1 boxes too small for a cell/, 'a slip of the mouse is left out, and told');
done_testing;
