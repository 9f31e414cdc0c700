//! Comparing two names of the same identity number. The question is never "who is this", only "may these
//! two spellings be one person's name", since the number already agrees (`rules.md` 1.2, grades I1 to I3).
//! Refuses to know anything of datasets or of persons without a number.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pinyin::ToPinyin;
use unicode_normalization::UnicodeNormalization;

/// How two names of one identity number agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameGrade {
    /// The same after normalisation.
    I1,
    /// A variant of the same name, or one of them is not given.
    I2,
    /// Another name: an identity conflict, never a death and never a fraud.
    I3,
}

impl NameGrade {
    /// As rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
        }
    }
}

/// Variant characters met in names, each followed by the form that they are compared by: traditional and older forms,
/// and some that are mixed up. Pairs that are different characters in most names (昇 and 升 are given names of
/// different people) count as variants all the same: the number agrees, and a reviewer is shown both spellings.
const VARIANTS: &str = "\
    閆闫 閻闫 阎闫 蕭肖 萧肖 傅付 葉叶 戴代 範范 鍾钟 鐘钟 錢钱 趙赵 孫孙 吳吴 鄭郑 馮冯 陳陈 衛卫 蔣蒋 楊杨 許许 呂吕 張张 \
    嚴严 華华 謝谢 鄒邹 竇窦 雲云 蘇苏 魯鲁 韋韦 馬马 鳳凤 劉刘 龍龙 萬万 盧卢 羅罗 畢毕 鄧邓 賀贺 賴赖 龔龚 龐庞 紀纪 項项 \
    黃黄 顧顾 譚谭 齊齐 賈贾 婁娄 聶聂 關关 國国 蘭兰 麗丽 貴贵 寶宝 強强 偉伟 東东 軍军 傑杰 榮荣 連连 蓮莲 鳴鸣 長长 慶庆 \
    珮佩 琍莉 喆哲 昇升 陞升 峯峰 羣群 㛃洁 潔洁 靜静 愛爱 義义 興兴 學学 書书 雙双 鳯凤 發发 財财 樹树 樂乐 紅红 綠绿 蕓芸 \
    𠮷吉 祐佑 澂澄 煥焕 燦灿 輝辉 暉晖 剛刚 鋼钢 鋒锋 銀银 鐵铁 飛飞 維维 勝胜 進进 達达 運运 遠远 時时 順顺 願愿 賢贤 質质 \
    業业 廣广 應应 穎颖 鮑鲍 鵬鹏 鴻鸿 鶴鹤 鷹鹰 鳥鸟 魚鱼 龜龟 齡龄 麥麦 黨党 點点 齋斋 闆板 闊阔 闌阑 開开 閎闳 閒闲 間间 \
    閔闵 閣阁 閩闽 聞闻 門门 陽阳 陰阴 陸陆 隊队 階阶 際际 隨随 險险 隱隐 靈灵 電电 霧雾 韓韩 韻韵 響响 頁页 頂顶 須须 頌颂 \
    預预 領领 頤颐 頻频 題题 顏颜 額额 類类 飯饭 飲饮 養养 館馆 馳驰 駒驹 駿骏 騁骋 騏骐 騰腾 驊骅 驍骁 驕骄 驛驿 驥骥 驪骊 \
    鬱郁 鯉鲤 鯤鲲 鱷鳄 鳶鸢 鴛鸳 鴦鸯 鵑鹃 鵝鹅 鶯莺 鸞鸾 鸝鹂 釗钊 鈞钧 鈴铃 鉅钜 鈺钰 鉛铅 鉑铂 銅铜 銘铭 銓铨 銳锐 鋁铝 \
    鋪铺 鋕志 錚铮 錦锦 錫锡 錄录 錕锟 鍇锴 鍵键 鎮镇 鎧铠 鏡镜 鏢镖 鑄铸 鑒鉴 鑑鉴 鑾銮 針针 釣钓 鉤钩 銜衔 農农 軒轩 軻轲 \
    載载 輕轻 輔辅 輪轮 輯辑 輸输 轅辕 轍辙 轉转 車车 邁迈 邏逻 鄉乡 鄔邬 鄖郧 鄰邻 酈郦 鄴邺 醫医 釋释 裏里 裡里 補补 裝装 \
    製制 複复 覽览 覺觉 觀观 規规 視视 親亲 訂订 計计 訊讯 記记 訓训 託托 訥讷 設设 詠咏 詞词 詢询 試试 詩诗 話话 詳详 誌志 \
    誠诚 語语 誼谊 調调 談谈 請请 論论 諍诤 諒谅 諸诸 諾诺 謀谋 謙谦 講讲 謨谟 證证 識识 譽誉 讀读 讓让 讚赞 贊赞 貝贝 貞贞 \
    負负 責责 貫贯 貨货 貯贮 費费 賓宾 賡赓 賜赐 賞赏 賦赋 贇赟 贈赠 贏赢 趕赶 跡迹 踐践 躍跃 雋隽 離离 難难 雞鸡 頡颉 頎颀 \
    頗颇 顯显 風风 颯飒 飄飘 倫伦 偵侦 側侧 僑侨 僕仆 價价 儀仪 億亿 儉俭 優优 儲储 傳传 債债 傷伤 傾倾 僅仅 內内 兩两 冊册 \
    凱凯 別别 則则 創创 劃划 劇剧 劍剑 劑剂 勁劲 動动 務务 勛勋 勳勋 勵励 勸劝 匯汇 區区 協协 卻却 厲厉 參参 叢丛 員员 問问 \
    啟启 啓启 喬乔 單单 嗚呜 嘆叹 嘯啸 噸吨 嚀咛 囑嘱 圍围 園园 圓圆 圖图 團团 執执 堅坚 堯尧 報报 場场 塊块 塗涂 塵尘 墊垫 \
    墜坠 墳坟 墾垦 壇坛 壽寿 夢梦 夾夹 奧奥 奪夺 奮奋 妝妆 姍姗 姦奸 娛娱 婦妇 媯妫 嫻娴 嬈娆 嬋婵 嬌娇 嫵妩 孌娈 孿孪 宮宫 \
    寧宁 實实 寬宽 審审 寫写 將将 專专 尋寻 對对 導导 屆届 屬属 岡冈 峽峡 島岛 崑昆 崗岗 崢峥 嵐岚 嶺岭 嶽岳 巒峦 巖岩 鞏巩 \
    帥帅 師师 帳帐 帶带 幟帜 幣币 幫帮 幹干 庫库 廚厨 廟庙 廠厂 廬庐 廳厅 彌弥 彎弯 彥彦 徑径 從从 徵征 徹彻 恆恒 悅悦 惡恶 \
    愨悫 慄栗 態态 慣惯 慘惨 慚惭 憂忧 憐怜 憑凭 憲宪 憶忆 懇恳 懷怀 懸悬 戀恋 戰战 戲戏 戶户 拋抛 挾挟 捨舍 掃扫 揚扬 換换 \
    揮挥 損损 搖摇 搶抢 摯挚 撫抚 擁拥 擇择 擊击 擔担 據据 擬拟 擴扩 攝摄 攜携 攬揽 敵敌 數数 斂敛 斃毙 斕斓 斬斩 斷断 於于 \
    晉晋 晝昼 暈晕 暢畅 曄晔 曆历 曉晓 曠旷 會会 朧胧 來来 枴拐 條条 棟栋 棲栖 楓枫 楨桢 槍枪 樁桩 樓楼 標标 樞枢 機机 檢检 \
    檸柠 櫻樱 權权 歡欢 歐欧 歲岁 歷历 歸归 殘残 殤殇 殺杀 氣气 漢汉 湯汤 溝沟 滅灭 滄沧 滬沪 滿满 漁渔 漸渐 漣涟 潁颍 潤润 \
    潛潜 潯浔 澤泽 澗涧 濃浓 濟济 濤涛 濱滨 瀅滢 瀾澜 瀟潇 灣湾 為为 烏乌 無无 煒炜 煙烟 煬炀 熒荧 熱热 熾炽 燁烨 燈灯 營营 \
    燭烛 爍烁 爐炉 爭争 爺爷 爾尔 牆墙 犧牺 狀状 獅狮 獎奖 獨独 獲获 獻献 現现 琺珐 瑋玮 瑣琐 瑤瑶 瑩莹 瑪玛 璉琏 璣玑 璦瑷 \
    環环 璽玺 瓊琼 甌瓯 產产 畝亩 畫画 異异 當当 疇畴 癡痴 盜盗 盡尽 監监 盤盘 睜睁 矯矫 碩硕 確确 禮礼 禎祯 禪禅 禱祷 禦御 \
    稅税 種种 積积 穌稣 穩稳 窩窝 窮穷 竅窍 競竞 筆笔 筍笋 節节 築筑 簡简 簫箫 籃篮 籌筹 籠笼 粵粤 糧粮 糾纠 紂纣 約约 紋纹 \
    納纳 紐纽 純纯 紗纱 紙纸 級级 紛纷 紡纺 細细 紳绅 紹绍 終终 組组 結结 絕绝 絡络 絢绚 給给 絨绒 統统 絲丝 絳绛 絹绢 綏绥 \
    經经 綜综 綢绸 綬绶 綱纲 網网 綸纶 綺绮 綽绰 綾绫 綿绵 緊紧 緒绪 緗缃 緣缘 緯纬 練练 緹缇 縈萦 縣县 縱纵 總总 績绩 織织 \
    繡绣 繩绳 繪绘 繼继 續续 纓缨 纖纤 罰罚 罷罢 習习 翹翘 翬翚 聖圣 聯联 聰聪 聲声 聳耸 職职 聽听 肅肃 脈脉 腦脑 腳脚 膚肤 \
    膠胶 臉脸 臨临 臺台 與与 舉举 舊旧 艦舰 艷艳 艶艳 藝艺 芻刍 莊庄 莖茎 荊荆 莢荚 萊莱 葦苇 葷荤 蒼苍 蓋盖 蓀荪 蔔卜 蔭荫 \
    薈荟 薑姜 薔蔷 薩萨 薌芗 藍蓝 藥药 藹蔼 藺蔺 蘆芦 蘊蕴 蘋苹 蘿萝 處处 號号 虧亏 蟬蝉 蠟蜡 蠻蛮 術术 衆众 眾众 襲袭 見见 \
    訪访 貳贰 買买 賣卖 賬账 蹟迹 軟软 轟轰 辦办 辭辞 遙遥 遜逊 遞递 遲迟 遷迁 選选 遺遗 遼辽 邊边 郟郏 郵邮 釀酿 裊袅 閱阅 \
    闕阙 闖闯 隴陇 雖虽 霽霁 韌韧 韜韬 頓顿 頒颁 頑顽 顥颢 飆飙 飼饲 飽饱 飾饰 駐驻 駕驾 駱骆 騎骑 驅驱 驗验 驚惊 驟骤 髮发 \
    鬆松 鮮鲜 鯨鲸 鰲鳌 鳩鸠 鴉鸦 鴨鸭 鴒鸰 鶩鹜 麼么 鬥斗 黌黉 齒齿 弔吊 佈布 佔占 併并 侶侣 俠侠 倆俩 倉仓 個个 們们 備备 \
    傭佣 僉佥 僥侥 僱雇 償偿 儼俨 兒儿 兇凶 凍冻 凜凛 刪删 剎刹 剮剐 労劳 勞劳 勢势 匭匦 匱匮 卹恤 厭厌 嘗尝 嚐尝 嘩哗 嘮唠 \
    囂嚣 囌苏 堊垩 墮堕 壓压 壘垒 壞坏 壯壮 夠够 奐奂 妳你 姪侄 婭娅 媽妈 嬸婶 寢寝 寵宠 尷尴 屍尸 層层 嶼屿 幀帧 廢废 彈弹 \
    後后 復复 惲恽 慮虑 戇戆 撈捞 撓挠 撥拨 擋挡 擠挤 擰拧 攔拦 敘叙 敗败 斉齐 極极 構构 樣样 橋桥 橫横 檔档 歎叹 沒没 況况 \
    洩泄 涇泾 淚泪 淨净 淪沦 淵渊 淶涞 淺浅 渾浑 測测 湊凑 滾滚 滌涤 漲涨 潑泼 澆浇 濕湿 瀋沈 瀏浏 瀨濑 灃沣 災灾 燒烧 燙烫 \
    爛烂 牽牵 犢犊 猶犹 獄狱 療疗 祕秘 禍祸 稱称 穀谷 竊窃 筧笕 籤签 糞粪 緩缓 編编 縫缝 縮缩 罵骂 羨羡 耬耧 膽胆 臟脏 薦荐 \
    蟲虫 誤误 課课 諮咨 贖赎 軌轨 較较 違违 過过 適适 釐厘 隸隶 頭头 鹼碱 黽黾 鼉鼍 \
";

/// Characters by which one syllable of a name from another language is written now so, now so.
const SYLLABLES: &[&str] = &[
    "买麦迈",
    "布不卜",
    "都杜",
    "吐图土",
    "逊荪孙",
    "依伊",
    "力里利丽历立",
    "艾爱",
    "曼满",
    "木穆",
    "苏素",
    "甫普夫福",
    "努奴",
    "克柯科",
    "沙莎夏",
    "尼妮",
    "提体铁",
    "汗罕",
    "古姑",
    "热日",
    "吾乌",
    "阿啊",
];

/// Grades two names of one number. `None` and blanks mean that a source does not give the name.
pub fn grade(a: Option<&str>, b: Option<&str>) -> NameGrade {
    let (Some(a), Some(b)) = (a, b) else { return NameGrade::I2 };
    if a == b && !a.trim().is_empty() {
        return NameGrade::I1;
    }
    let (a, b) = (normalise(a), normalise(b));
    if a.is_empty() || b.is_empty() {
        return NameGrade::I2;
    }
    if a == b {
        return NameGrade::I1;
    }
    // A newborn is entered under the mother's number as "her name + 之子": another person, not a longer spelling.
    if is_newborn(&a) != is_newborn(&b) {
        return NameGrade::I3;
    }
    let (parts_a, parts_b) = (parts(&a), parts(&b));
    let (a, b): (Vec<char>, Vec<char>) = (parts_a.concat(), parts_b.concat());
    let dotted = parts_a.len() > 1 || parts_b.len() > 1;
    if a.is_empty()
        || b.is_empty()
        || same_shape(&a, &b)
        || lost_dot(&a, &parts_b)
        || lost_dot(&b, &parts_a)
        || truncated(&a, &b, dotted)
        || same_words(&a, &b)
        || (dotted && transliterated(&parts_a, &parts_b))
    {
        NameGrade::I2
    } else {
        NameGrade::I3
    }
}

/// The parts of a name between its dots.
fn parts(name: &str) -> Vec<Vec<char>> {
    name.split(is_dot).filter(|part| !part.is_empty()).map(|part| part.chars().collect()).collect()
}

/// NFKC, no spaces, Latin in upper case.
fn normalise(name: &str) -> String {
    name.nfkc().filter(|c| !c.is_whitespace() && !is_invisible(*c)).flat_map(char::to_uppercase).collect()
}

/// `李秀兰之子`, `李秀兰之次女`: a child without a name of its own yet.
fn is_newborn(name: &str) -> bool {
    name.rsplit_once('之').is_some_and(|(mother, child)| {
        let child = child.trim_start_matches(['长', '次', '三', '四', '双', '大', '小', '胞', '幼']);
        mother.chars().count() >= 2 && matches!(child, "子" | "女" | "婴" | "儿" | "婴儿" | "新生儿")
    })
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

fn is_dot(c: char) -> bool {
    matches!(
        c,
        '·' | '•'
            | '‧'
            | '・'
            | '.'
            | '。'
            | '●'
            | '∙'
            | '⋅'
            | '˙'
            | '\u{307}'
            | '﹒'
            | '．'
            | '｡'
            | '-'
            | '\''
    )
}

/// A character that some system could not store, or masked.
fn is_unreadable(c: char) -> bool {
    matches!(c, '?' | '*' | '□' | '■' | '〓' | '\u{FFFD}')
        || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFD}')
}

/// Same length, and every pair is equal, a variant, a homophone, or unreadable on one side (not all of it). A
/// homophone is a slip of a typist in the given name; another surname is another name.
fn same_shape(a: &[char], b: &[char]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).enumerate().all(|(place, (&x, &y))| {
            fold(x) == fold(y) || is_unreadable(x) || is_unreadable(y) || (place > 0 && homophones(x, y))
        })
        && a.iter().zip(b).any(|(&x, &y)| fold(x) == fold(y))
}

/// An unreadable character stands where the other name has its dot.
fn lost_dot(a: &[char], parts: &[Vec<char>]) -> bool {
    parts.len() > 1
        && a.iter().filter(|c| is_unreadable(**c)).count() == parts.len() - 1
        && a.split(|c| is_unreadable(*c)).map(folded).eq(parts.iter().map(|part| folded(part)))
}

/// Part by part the same syllables, however they are written, in whatever order the parts stand.
fn transliterated(a: &[Vec<char>], b: &[Vec<char>]) -> bool {
    let sounds = |parts: &[Vec<char>]| {
        let mut parts: Vec<Vec<char>> =
            parts.iter().map(|part| part.iter().map(|c| syllable(fold(*c))).collect()).collect();
        parts.sort();
        parts
    };
    sounds(a) == sounds(b)
}

fn syllable(c: char) -> char {
    SYLLABLES.iter().find(|group| group.contains(c)).and_then(|group| group.chars().next()).unwrap_or(c)
}

fn folded(part: &[char]) -> Vec<char> {
    part.iter().map(|c| fold(*c)).collect()
}

fn fold(c: char) -> char {
    static FORMS: LazyLock<BTreeMap<char, char>> = LazyLock::new(|| {
        VARIANTS.split_whitespace().filter_map(|pair| pair.chars().next().zip(pair.chars().nth(1))).collect()
    });
    FORMS.get(&c).copied().unwrap_or(c)
}

/// Same syllable with the same tone: the slip of a typist who chose the wrong character.
fn homophones(x: char, y: char) -> bool {
    match (x.to_pinyin(), y.to_pinyin()) {
        (Some(x), Some(y)) => x.with_tone() == y.with_tone(),
        _ => false,
    }
}

/// One is the beginning of the other: a field that was too short, or a given name left out. Two whole Han names of
/// which one begins the other (王伟, 王伟强) are two names.
fn truncated(a: &[char], b: &[char], dotted: bool) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let whole = (2..=3).contains(&short.len()) && !dotted && !short.iter().all(char::is_ascii_alphabetic);
    short.len() < long.len() && !whole && short.iter().zip(long).all(|(&x, &y)| fold(x) == fold(y))
}

/// The same Latin letters in another order of words cannot be told once spaces are gone; the same multiset
/// of letters in a purely Latin name of some length is taken as that.
fn same_words(a: &[char], b: &[char]) -> bool {
    if a.len() != b.len() || a.len() < 6 || !a.iter().chain(b).all(char::is_ascii_alphabetic) {
        return false;
    }
    // A rotation is exactly what swapping two words does.
    (1..a.len()).any(|k| a[k..].iter().chain(&a[..k]).eq(b.iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, want: &str) {
        assert_eq!(grade(Some(a), Some(b)).as_str(), want, "{a} / {b}");
        assert_eq!(grade(Some(b), Some(a)).as_str(), want, "{b} / {a}");
    }

    #[test]
    fn equal_after_normalisation_is_i1() {
        check("张三丰", "张三丰", "I1");
        check("张 三 丰", "张三丰", "I1");
        check("Ｌｉ Lei", "LI LEI", "I1");
    }

    #[test]
    fn variants_homophones_dots_and_gaps_are_i2() {
        check("阎国强", "闫國強", "I2");
        check("买买提·吐尔逊", "买买提吐尔逊", "I2");
        check("买买提·吐尔逊", "买买提•吐尔", "I2");
        check("王伟", "王玮", "I2");
        check("王?", "王喆", "I2");
        check("李", "李建国", "I2");
        check("买买提?吐尔逊", "买买提·吐尔逊", "I2");
        check("买买提 吐尔逊", "买买提·吐尔逊", "I2");
        check("买买提˙吐尔逊", "买买提·吐尔逊", "I2");
        check("鮑鵬", "鲍鹏", "I2");
        check("买买提·艾力", "麦麦提·艾力", "I2");
        check("阿布都·热合曼", "阿不都·热合满", "I2");
        check("吐尔逊·买买提", "买买提·吐尔逊", "I2");
        check("欧阳建国", "欧阳建国强", "I2");
        check("WANG XIAOMING", "XIAOMING WANG", "I2");
        assert_eq!(grade(None, Some("李四")), NameGrade::I2);
        assert_eq!(grade(Some("  "), Some("李四")), NameGrade::I2);
    }

    #[test]
    fn every_variant_has_one_form_and_none_is_a_variant_itself() {
        let pairs: Vec<Vec<char>> = VARIANTS.split_whitespace().map(|p| p.chars().collect()).collect();
        assert!(pairs.len() > 500);
        for pair in &pairs {
            assert!(pair.len() == 2 && pair[0] != pair[1], "{pair:?}");
            assert!(pairs.iter().all(|other| other[0] != pair[1]), "{pair:?} leads on");
            assert_eq!(pairs.iter().filter(|other| other[0] == pair[0]).count(), 1, "{pair:?}");
        }
    }

    #[test]
    fn other_names_are_i3() {
        check("张三丰", "李四光", "I3");
        check("王伟", "王芳", "I3");
        check("王伟", "王伟强", "I3");
        check("王伟强", "王伟强国", "I3");
        check("张伟", "章伟", "I3");
        check("买买提?吐尔逊", "买买提·艾力", "I3");
        check("买买提·吐尔逊", "艾合买提·吐尔逊", "I3");
        check("??", "王芳", "I3");
        check("刘桂英", "刘桂兰", "I3");
        check("陈建国", "陈建军", "I3");
        check("李秀兰", "李秀兰之子", "I3");
        check("李秀兰", "李秀兰之次女", "I3");
    }
}
