#!/usr/bin/perl
# wbcsnet import of every layout, and predict's table, where folders and files have spaces, letters beyond ASCII and signs in their names.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Import;

my $top = "$dir/Fr\xc3\xb6hlich & S\xc3\xb6hne, Blut (1)";       # a folder's name, in UTF-8: no `use utf8`, so bytes
my @class = ('neutrophil', 'eosinophil', 'basophil', 'lymphocyte', 'monocyte');
my ($code, $said);
# Imports; the classes' counts and the groups are as given.
sub brings {
    my ($what, $counts, $groups, @command) = @_;
    my $o = out();
    ($code, $said) = run('import', '--size', 20, @command, $o);
    ok($code == 0 && counts($o) eq $counts, "$what: no cell is lost") or diag "exit $code: $said";
    is(join('|', map { (split /,/)[2] } rows($o)), $groups, "$what: the groups") if defined $groups && $code == 0;
    return $o;
}

# ---- a folder for each class ----
my $n = 0;
for my $k (@class) { cell("$top/folders/$k/Patient $_/Aufnahme n\xc2\xb0 $_.bmp", $n++, 20) for 1, 2 }
my $o = brings('folders', '2, 2, 2, 2, 2', undef, "$top/folders");
ok(-e "$o/basophil/Patient_1_Aufnahme_n\xc2\xb0_1.tif", 'folders: a cell keeps its letters, and its spaces become underscores');
cell("$top/folders/basophil/Patient_1_Aufnahme_n\xc2\xb0_1.bmp", 99, 20);
brings('folders with two names that become one', '2, 2, 3, 2, 2', undef, "$top/folders");
for my $part ('train', 'test') { for my $k (@class) { cell("$top/split/$part/$k/c\xc3\xa9lula $_.png", $n++, 20) for 1 } }
brings('folders of a split', '2, 2, 2, 2, 2', undef, "$top/split");
for my $k (@class) { cell("$top/mapped/Klasse $k (\xc3\xa4)/a b.bmp", $n++, 20) }
brings('folders with a map', '1, 1, 1, 1, 1', undef, '--map', do { spit("$dir/map.txt", join '', map { "Klasse $_ (\xc3\xa4)=$_\n" } @class); "$dir/map.txt" }, "$top/mapped");

# ---- PBC ----
for my $k (@class, 'ig', 'erythroblast') { cell("$top/pbc/PBC_dataset_normal_DIB/$k/BA 1 \xc3\xa9.jpg", $n++, 220) }
brings('PBC', '1, 1, 1, 1, 1', undef, "$top/pbc");

# ---- a table ----
spit("$top/table/labels.csv", "file,class,group\n" . join '', map { cell("$top/table/mis \xc3\xa1, b/$_ 1.bmp", $n++, 20); qq("mis \xc3\xa1, b/$_ 1.bmp",$_,"Frau M\xc3\xbcller, $_"\n) } @class);
$o = brings('a table', '1, 1, 1, 1, 1', undef, "$top/table");
like(slurp("$o/labels.csv"), qr/"Frau M\xc3\xbcller, basophil"/, 'a table: groups keep their commas');

# ---- MedMNIST ----
npz("$top/blood mnist \xc3\xa4.npz", 'stored', map { my $p = $_; ("${p}_images", npy('|u1', '5, 8, 8, 3', join '', map { chr(($n++ * 37) % 256) x 192 } 1 .. 5), "${p}_labels", npy('|u1', '5, 1', join '', map chr, 0 .. 4)) } 'train', 'val', 'test');
brings('arrays', '3, 3, 3, 3, 3', undef, '--map', '0=basophil,1=eosinophil,2=neutrophil,3=lymphocyte,4=monocyte', "$top/blood mnist \xc3\xa4.npz");

# ---- LISC ----
my $lisc = "$top/lisc/LISC Database";
for my $c (['Baso', 60], ['eosi', 90], ['lymp', 120], ['mono', 150], ['neut', 180]) {
    my ($k, $shade) = @$c;
    my $near = sub { my ($y, $x) = @_; ($y - 300) ** 2 + ($x - 300) ** 2 <= 900 };
    bmp("$lisc/Main Dataset/$k/Bild 1 \xc3\xa4.bmp", 576, 720, sub { $near->(@_) ? ($shade, $_[0] % 251, $_[1] % 251) : (220, ($_[0] * $shade) % 200, ($_[1] * ($shade + $_[0])) % 199) });
    bmp("$lisc/Ground Truth Segmentation/$k/area for expert 1/Bild 1 \xc3\xa4_expert.bmp", 568, 712, sub { $near->($_[0] + 4, $_[1] + 4) ? (255) x 3 : (0) x 3 });
}
brings('LISC', '1, 1, 1, 1, 1', join('|', map { "$_/Bild_1_\xc3\xa4" } 'Baso', 'eosi', 'lymp', 'mono', 'neut'), '--same', 0, "$top/lisc");

# ---- Chula's photographs ----
my ($h, $w) = (60, 100);
sub photo { my ($path) = @_; my $m = ++$n; bmp($path, $h, $w, sub { my ($y, $x) = @_; ($m % 256, $y, $x) }) }
my $five = join '', map { "$_ @{[0.2 + 0.15 * $_]} 0.5 0.2 0.4\n" } 0 .. 4;
for my $name ("Serie 1 \xc3\xa4_001", "Serie 1 \xc3\xa4_002", "Serie 2_001") {
    photo("$top/chula/WBC_Samples/teil 1/images/$name.bmp"), spit("$top/chula/WBC_Samples/teil 1/labels/$name.txt", $five);
}
brings('Chula', '3, 3, 3, 3, 3', join('|', ("Serie_1_\xc3\xa4", "Serie_1_\xc3\xa4", 'Serie_2') x 5), '--crop', 20, "$top/chula");

# ---- boxes of others ----
my @names = ('neutrophil', 'eosinophil', 'basophil', 'lymphocyte', 'monocyte');
my $group = "Bild_1_\xc3\xa4";
photo("$top/yolo/images/Tag 1/Bild 1 \xc3\xa4.bmp"), spit("$top/yolo/labels/Tag 1/Bild 1 \xc3\xa4.txt", $five);
spit("$top/yolo/data.yaml", 'names: [' . join(', ', map { "'$_'" } @names) . "]\n");
brings('YOLO', '1, 1, 1, 1, 1', join('|', ("images_Tag_1_$group") x 5), "$top/yolo");
spit("$top/yolo/data.yaml", "names: ['Zelle A', 'Zelle B', 'Zelle \xc3\xa4', 'Zelle D', 'Zelle E']\n");
spit("$dir/map.txt", "Zelle A=neutrophil\nZelle B=eosinophil\nZelle \xc3\xa4=basophil\nZelle D=lymphocyte\nZelle E=monocyte\n");
brings('YOLO, classes with spaces', '1, 1, 1, 1, 1', undef, '--map', "$dir/map.txt", "$top/yolo");

my $json = sub {
    my ($file) = @_;
    '{"images": [{"id": 1, "file_name": "' . $file . '", "width": 100, "height": 60}], "categories": [' . join(', ', map { "{\"id\": $_, \"name\": \"$names[$_]\"}" } 0 .. 4) . '], "annotations": ['
        . join(', ', map { "{\"image_id\": 1, \"category_id\": $_, \"bbox\": [@{[10 + 15 * $_]}, 18, 20, 24]}" } 0 .. 4) . ']}';
};
photo("$top/coco/Bilder 1/Bild 1 \xc3\xa4.bmp");
for my $name ("Bilder 1/Bild 1 \xc3\xa4.bmp", 'Bilder 1/Bild 1 \u00e4.bmp') {
    spit("$top/coco/annotations 1.coco.json", $json->($name));
    brings("COCO, $name", '1, 1, 1, 1, 1', join('|', ("Bilder_1_$group") x 5), "$top/coco");
}

my $xml = sub {
    my ($head, $file) = @_;
    "$head\n<folder>x</folder><filename>$file</filename>\n" . join('', map { my $x = 10 + 15 * $_; "<object><name>$names[$_]</name><bndbox><xmin>$x</xmin><ymin>18</ymin><xmax>@{[$x + 20]}</xmax><ymax>42</ymax></bndbox></object>\n" } 0 .. 4) . "</annotation>\n";
};
photo("$top/voc/JPEGImages/Bild 1 & 2 \xc3\xa4.bmp");
for my $v (['<annotation>', "Bild 1 &amp; 2 \xc3\xa4.bmp"], ['<annotation verified="yes">', 'Bild 1 &#38; 2 &#xe4;.bmp']) {
    spit("$top/voc/Annotations/Bild 1 & 2 \xc3\xa4.xml", $xml->(@$v));
    brings("VOC, $v->[0] $v->[1]", '1, 1, 1, 1, 1', join('|', ("JPEGImages_Bild_1___2_\xc3\xa4") x 5), "$top/voc");
}
done_testing();
