"""Tables for the comparison of person names: what transliteration folds, and forms that are one name. Data only.

Sources: ICAO Doc 9303-3 section 6 (transliteration of Latin, Cyrillic and Arabic letters in passports), BGN/PCGN and
ISO 9 for Cyrillic, ISO 843 for Greek, the tables of variants of the Japanese Ministry of Justice (Han), the Chinese
list of simplified characters of 1986. Names with many spellings: their common romanisations.
"""

from __future__ import annotations

#: Letters that no decomposition takes apart, or that passports write as two (ICAO Doc 9303-3 section 6.A).
LETTERS = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "oe", "å": "aa", "ä": "ae", "ö": "oe", "ü": "ue", "þ": "th", "ð": "d",
    "đ": "d", "ħ": "h", "ı": "i", "ĸ": "k", "ł": "l", "ŋ": "n", "ŧ": "t", "ƒ": "f", "ə": "e", "ĳ": "ij", "ſ": "s",
    "ɵ": "o", "ɨ": "i", "ƶ": "z", "ǥ": "g",
    # Cyrillic (BGN/PCGN)
    "а": "a", "б": "b", "в": "v", "г": "g", "ґ": "g", "д": "d", "е": "e", "ё": "e", "є": "ie", "ж": "zh", "з": "z",
    "и": "i", "і": "i", "ї": "i", "й": "i", "ј": "j", "к": "k", "л": "l", "љ": "lj", "м": "m", "н": "n", "њ": "nj",
    "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "ћ": "c", "ђ": "dj", "у": "u", "ў": "u", "ф": "f", "х": "kh",
    "ц": "ts", "ч": "ch", "џ": "dz", "ш": "sh", "щ": "shch", "ъ": "", "ы": "i", "ь": "", "э": "e", "ю": "iu",
    "я": "ia", "ѓ": "g", "ќ": "k", "ѕ": "dz",
    # Greek (ISO 843)
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k", "λ": "l",
    "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t", "υ": "y", "φ": "f",
    "χ": "ch", "ψ": "ps", "ω": "o",
}  # fmt: skip

#: Two letters of a passport back into the one that many archives write instead: Mueller, Muller and Müller are one.
CONTRACTIONS = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"))

#: What romanisations write in several ways; in this order. Only for words that aren't equal without.
ROMANISATIONS = (
    ("shch", "s"), ("tsch", "k"), ("sch", "s"), ("tch", "k"), ("cz", "k"), ("sz", "s"), ("ch", "k"), ("sh", "s"),
    ("zh", "z"), ("kh", "k"), ("ck", "k"), ("ph", "f"), ("th", "t"), ("dh", "d"), ("gh", "g"), ("qu", "k"),
    ("q", "k"), ("x", "ks"), ("c", "k"), ("w", "v"), ("y", "i"), ("j", "i"), ("ou", "u"), ("oo", "u"), ("ee", "i"),
    ("ie", "i"), ("ei", "ai"), ("ey", "ai"), ("o", "u"),
)  # fmt: skip

#: Han characters that are written in several ways in one name: to the first of each group.
HAN_VARIANTS = (
    "斎齋斉齊", "辺邊邉", "高髙", "崎﨑嵜", "沢澤", "浜濱", "広廣", "国國", "桜櫻", "竜龍龙", "実實实", "真眞", "学學",
    "恵惠", "栄榮荣", "条條", "蔵藏", "島嶋嶌", "富冨", "徳德", "穂穗", "円圓", "渡渡", "塚塚", "吉𠮷", "弥彌", "静靜",
    "寿壽", "滝瀧", "関關关", "亀龜", "鉄鐵", "万萬", "寛寬", "薗園", "桑桒", "柳栁", "橋槗桥", "館舘", "坂阪", "槙槇",
    "尭堯", "亘亙", "遥遙", "曽曾", "増增", "黒黑", "戸户", "内內", "緑綠绿", "郎郞", "隆隆", "瀬瀨", "鶴鶴鹤", "呉吳吴",
    "張张", "劉刘", "陳陈", "楊杨", "趙赵", "黄黃", "孫孙", "馬马", "華华", "偉伟", "麗丽", "軍军", "強强", "東东", "義义",
    "雲云", "鄭郑", "謝谢", "馮冯", "鄧邓", "許许", "韓韩", "羅罗", "葉叶", "蘇苏", "盧卢", "蔣蒋", "賈贾", "鄒邹", "陸陆",
    "鍾钟鐘", "譚谭", "賀贺", "龔龚", "紅红", "蘭兰", "鳳凤", "玲玲", "靈灵", "梁梁", "潔洁", "潘潘", "範范", "錢钱", "鐵铁",
    "顧顾", "嚴严", "賴赖", "龐庞", "聶聂", "莊庄", "蕭肖萧", "鳴鸣", "飛飞", "鵬鹏", "濤涛", "輝辉", "輝煇", "傑杰", "慶庆",
    "寶宝", "鋼钢", "剛刚", "峰峯", "勝胜", "歐欧", "陽阳", "陰阴", "愛爱", "媽妈", "嬌娇", "婭娅", "瑩莹", "穎颖", "維维",
    "麥麦", "鮑鲍", "喬乔", "齊齐", "溫温", "魯鲁", "衛卫", "慧慧", "曉晓", "小小", "詩诗", "雙双", "艷艳", "霞霞", "為为",
)  # fmt: skip

#: Words that stand before or behind a name and aren't part of it.
TITLES = frozenset({
    "dr", "prof", "professor", "med", "mr", "mrs", "ms", "miss", "mme", "mlle", "herr", "frau", "hr", "dipl", "ing",
    "phd", "md", "dott", "dra", "sra", "srta", "sir", "mag", "priv", "doz", "habil",
})  # fmt: skip

#: Which of several bearers of one name: two different ones are two persons.
GENERATIONS = {
    "jr": "2", "jnr": "2", "junior": "2", "jun": "2", "ii": "2", "2nd": "2", "fils": "2", "sr": "1", "snr": "1",
    "senior": "1", "sen": "1", "pere": "1", "i": "1", "1st": "1", "iii": "3", "3rd": "3", "iv": "4", "4th": "4",
}  # fmt: skip

#: Small words of family names, which one archive writes and another leaves out.
PARTICLES = frozenset({
    "van", "von", "vom", "der", "den", "de", "del", "della", "dela", "di", "da", "do", "dos", "das", "la", "le", "las",
    "los", "les", "du", "al", "el", "ter", "ten", "te", "zu", "zum", "zur", "af", "av", "bin", "ibn", "ben", "bint",
    "und", "y", "e", "san", "st", "abu", "t",
})  # fmt: skip

#: What is written where nobody knew the name.
PLACEHOLDERS = frozenset({
    "unknown", "unbekannt", "inconnu", "desconocido", "sconosciuto", "nieznany", "onbekend", "ukjent", "okand", "anonymous",
    "anonymus", "anonym", "anonymized", "anonymised", "anon", "noname", "nonameavailable", "nn", "na", "none", "null", "nil",
    "notavailable", "notknown", "notgiven", "unnamed", "nomen", "nescio", "empty", "xx", "xxx", "xxxx", "neizvestno",
})  # fmt: skip

#: Given names that are one: romanisations of one original, and short forms that are borne beside the full one.
GIVEN_FORMS = (
    "mohammed muhammad mohammad mohamed mohamad muhamad muhammed mohamet mehmet muhammet mohd",
    "ahmed ahmad achmed ahmet achmad", "yusuf youssef yousef yusef youcef jusuf yousuf", "hussein hussain husain hossein husayn husein hocine huseyin",
    "omar umar omer", "osman othman uthman usman ousmane", "ali aly", "aisha ayesha aicha aischa aysha ayse", "fatima fatma fatemeh fatimah fathima fatimata",
    "khadija khadijah hatice khadidja kadija", "hassan hasan hassane", "ibrahim ebrahim brahim", "ismail ismael ismaeel", "khalid khaled halid",
    "abdullah abdallah abdulla abdellah", "abdulrahman abdurrahman abderrahmane abdelrahman", "abdulaziz abdelaziz", "mustafa mostafa moustafa mustapha",
    "mahmoud mahmud mahmood", "saeed said sayid saied", "samir sameer", "karim kareem kerim", "rashid rasheed rachid", "jamal djamal gamal cemal djamel",
    "zainab zaynab zeinab zeynep", "maryam mariam meryem miriam myriam", "layla leila laila leyla", "noor nour nur", "yasmin yasmine jasmin yasemin jasmine",
    "sergey sergei sergej serhii serhiy sergiy", "aleksandr alexander aleksander oleksandr alexandr aliaksandr", "aleksei alexey aleksej alexei oleksii oleksiy alexej",
    "andrei andrey andrej andrii andriy", "dmitri dmitry dmitrij dmytro dmitriy dimitri dimitry", "evgeny yevgeny evgeni jewgeni yevgeniy evgenij eugeny",
    "mikhail michail mihail mykhailo mikhajlo", "nikolai nikolay nikolaj mykola", "yuri yury juri jurij yuriy iurii", "ilya ilia ilja", "pyotr petr piotr pjotr petro",
    "fyodor fedor fjodor", "yekaterina ekaterina jekaterina kateryna", "yelena elena jelena olena helena", "tatiana tatyana tatjana tetiana",
    "yulia julia iuliia yuliya julija", "natalia natalya natalja nataliia nataliya", "oksana oxana", "yevgenia evgenia jewgenia evgeniya", "ksenia xenia kseniya ksenija",
    "giorgos georgios yorgos", "yiannis ioannis giannis", "konstantinos costas kostas", "dimitrios dimitris", "ekaterini katerina aikaterini", "eleni helen eleftheria",
    "vasilios vassilis vasilis", "nikolaos nikos",
    "william bill will billy", "robert bob rob bobby robbie", "richard dick rick", "james jim jimmy", "john jack johnny", "edward ed eddie ted", "charles charlie chuck",
    "thomas tom tommy", "michael micheal mike mick", "joseph joe joey", "daniel dan danny", "matthew matt", "anthony tony", "christopher chris", "steven stephen steve",
    "andrew andy", "david dave", "kenneth ken", "ronald ron", "donald don", "gerald jerry", "lawrence larry", "benjamin ben", "samuel sam", "nicholas nick", "alexander alex",
    "gregory greg", "timothy tim", "jeffrey jeff geoffrey", "peter pete", "patrick pat", "elizabeth liz beth betty eliza lizzie", "margaret maggie peggy meg", "katherine catherine kathryn kate kathy",
    "jennifer jen jenny", "susan sue susie", "deborah debbie debra", "barbara barb", "patricia pat patty tricia", "rebecca becky", "victoria vicky", "judith judy",
    "hans johannes johann hannes", "josef joseph sepp", "fritz friedrich", "heinz heinrich", "karl carl charles", "willi wilhelm willy", "kurt konrad", "max maximilian",
    "franz franziskus", "klaus nikolaus claus", "bernd bernhard", "gerd gerhard gert", "rolf rudolf", "rudi rudolf", "uli ulrich", "wolfi wolfgang", "steffi stefanie stephanie",
    "käthe katharina kathe", "grete margarete", "gretel margarethe", "lisa elisabeth", "sabine bine", "gabi gabriele gaby", "susi susanne", "uschi ursula", "moni monika", "trude gertrud",
    "jose pepe", "francisco paco", "guadalupe lupe", "dolores lola", "giuseppe beppe", "giovanni gianni", "luigi gigi", "francesco franco", "jean-pierre jeanpierre",
    "stanislaw stas", "wladyslaw wladek", "malgorzata gosia", "joanna asia", "katarzyna kasia", "aleksandra ola", "zsuzsanna zsuzsa", "laszlo laci", "istvan pista", "erzsebet bozsi",
)  # fmt: skip
