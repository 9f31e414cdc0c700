//! What the entries of the `rejects` table mean: the reasons for which a value was not taken, and what became of its row.
//! Here because whoever prepares a store and whoever words a finding say the same of them.

/// What a reason means and what to do about it, in both languages. `None`: a reason of a newer build.
pub fn meaning(reason: &str) -> Option<(&'static str, &'static str)> {
    Some(match reason {
        "missing_required" => ("必填的值为空，请发送方补齐", "a required value is empty: have it filled in"),
        "id_length" => ("证件号码不是 15 或 18 位", "the identity number has neither 15 nor 18 characters"),
        "id_characters" => ("证件号码含有不应有的字符", "the identity number holds characters it must not"),
        "id_birth_date" => (
            "证件号码中的出生日期不存在或晚于提取日",
            "the birth date in the identity number is none, or after the extract",
        ),
        "id_check_digit" => ("证件号码的校验位不符", "the check digit of the identity number is wrong"),
        "id_tail_000" => (
            "证件号码末三位为 000，多半被电子表格截断，请按文本重新导出",
            "the identity number ends in 000, probably cut by a spreadsheet: have it exported as text",
        ),
        "id_scientific" => (
            "证件号码成了科学计数法，请按文本重新导出",
            "the identity number became scientific notation: have it exported as text",
        ),
        "id_stored_as_number" => (
            "证件号码存成了数字，请按文本重新导出",
            "the identity number is stored as a number: have it exported as text",
        ),
        "id_area_unknown" => {
            ("县级区划不在历史代码表中，仅备注", "the county is not in the historical list; a remark only")
        }
        "bad_date" => ("不是日期，应如 2026-01-31", "no day; wanted 2026-01-31"),
        "bad_datetime" => ("不是时间，应如 2026-01-31 08:05:00", "no moment; wanted 2026-01-31 08:05:00"),
        "bad_month" => ("不是年月，应如 202601", "no month; wanted 202601"),
        "bad_money" => ("不是精确到分的金额，应如 1234.50", "no amount in whole cents; wanted 1234.50"),
        "bad_int" => ("不是整数", "no whole number"),
        "bad_decimal" => ("不是至多四位小数的数", "no number of at most four decimals"),
        "bad_bool" => ("不是“是/否”", "neither yes nor no"),
        "bad_area" => ("行政区划不是 6 至 12 位数字", "the area code is not 6 to 12 digits"),
        "bad_text" => {
            ("文本中有空字符，或单元格有错误", "the text holds a NUL character, or the cell an error")
        }
        "stored_as_number" => (
            "号码存成了数字或日期，请按文本重新导出",
            "the number is stored as a number or a date: have it exported as text",
        ),
        "number_scientific" => (
            "号码成了科学计数法，请按文本重新导出",
            "the number became scientific notation: have it exported as text",
        ),
        "no_number" => (
            "不是号码（全零、没有数字、带掩码或占位）",
            "no number: noughts, no digits, masked, or a placeholder",
        ),
        "no_day" => (
            "是 0 或电子表格、系统对 0 和空日期的显示（如 1899-12-30、1900-01-00、1900-01-01），不是日期",
            "0, or what spreadsheets and systems show for 0 and for no date (1899-12-30, 1900-01-00, 1900-01-01): no day",
        ),
        "unknown_code" => (
            "代码不在代码表中；确为新代码时加入约定的 codes",
            "the code is not in the table; add it to the contract's codes where it is a new one",
        ),
        "ragged_row" => ("列数与表头不符", "the row has not as many columns as the headings"),
        "undecodable_bytes" => ("有不合文件编码的字节", "some bytes do not fit the encoding of the file"),
        "duplicate_key" => ("与前面的行键相同，仅备注", "repeats the key of an earlier row; a remark only"),
        "ambiguous_link" => {
            ("同一键对应多人，不归于任何人", "the key belongs to several persons, so it leads to nobody")
        }
        _ => return None,
    })
}

/// What became of the row, in both languages. `None`: a word of a newer build.
pub fn fate(outcome: &str) -> Option<(&'static str, &'static str)> {
    Some(match outcome {
        "row_rejected" => ("整行未采用", "the row was left out"),
        "value_dropped" => ("该值未采用", "the value was left out"),
        "kept" => ("已采用，仅备注", "taken as it is; a remark only"),
        _ => return None,
    })
}
