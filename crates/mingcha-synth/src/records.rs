//! The rows of the extracts, one struct per dataset, with the column names and headings they are written
//! under. Knows what a row holds; knows no file format and no meaning.

use std::borrow::Cow;

use chrono::{NaiveDate, NaiveDateTime};

use crate::calendar::Month;

/// Text; empty is absent. Codes are borrowed, names owned.
pub(crate) type Text = Cow<'static, str>;

/// Money in fen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fen(pub(crate) i64);

/// One value of a row, borrowed for a writer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    Date(Option<NaiveDate>),
    Moment(Option<NaiveDateTime>),
    Month(Option<Month>),
    Money(Option<Fen>),
    Int(Option<i64>),
    Bool(bool),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Date,
    Moment,
    Month,
    Money,
    Int,
    Bool,
}

/// One column of a dataset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The Chinese heading.
    pub(crate) heading: &'static str,
    pub(crate) kind: Kind,
}

/// A row of a dataset.
pub(crate) trait Record {
    /// Columns, in the order of the cells.
    const COLUMNS: &'static [Column];

    /// Hands every value to `put`, with its column.
    fn cells<'a>(&'a self, put: impl FnMut(usize, Cell<'a>));
}

trait AsCell {
    fn as_cell(&self) -> Cell<'_>;
}

macro_rules! as_cell {
    ($($type:ty => $cell:ident),*) => {
        $(impl AsCell for $type {
            fn as_cell(&self) -> Cell<'_> {
                Cell::$cell(*self)
            }
        })*
    };
}

as_cell!(Option<NaiveDate> => Date, Option<NaiveDateTime> => Moment, Option<Month> => Month, Option<Fen> => Money, Option<i64> => Int, bool => Bool);

impl AsCell for Text {
    fn as_cell(&self) -> Cell<'_> {
        Cell::Text(self)
    }
}

macro_rules! kind_type {
    (Text) => { Text };
    (Date) => { Option<NaiveDate> };
    (Moment) => { Option<NaiveDateTime> };
    (Month) => { Option<Month> };
    (Money) => { Option<Fen> };
    (Int) => { Option<i64> };
    (Bool) => { bool };
}

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident, $dataset:literal, $list:ident { $($field:ident: $kind:ident $heading:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default)]
            pub(crate) struct $name {
                $(pub(crate) $field: kind_type!($kind),)*
            }

            impl Record for $name {
                const COLUMNS: &'static [Column] =
                    &[$(Column { name: stringify!($field), heading: $heading, kind: Kind::$kind }),*];

                fn cells<'a>(&'a self, mut put: impl FnMut(usize, Cell<'a>)) {
                    let mut column = 0;
                    $(
                        put(column, self.$field.as_cell());
                        column += 1;
                    )*
                    let _ = column;
                }
            }
        )*

        /// Rows of every dataset.
        #[derive(Debug, Default)]
        pub(crate) struct Rows {
            $(pub(crate) $list: Vec<$name>,)*
        }

        /// Names of the datasets, in the order that `Rows::visit` counts them.
        pub(crate) const DATASETS: &[&str] = &[$($dataset),*];

        /// Something done with the rows of one dataset, whichever it is.
        pub(crate) trait Visitor {
            type Output;
            fn visit<R: Record>(&mut self, rows: &[R]) -> Self::Output;
        }

        impl Rows {
            /// Does something with the rows of the dataset with this index in [`DATASETS`].
            pub(crate) fn visit<V: Visitor>(&self, dataset: usize, visitor: &mut V) -> Option<V::Output> {
                let mut index = 0;
                $(
                    if index == dataset {
                        return Some(visitor.visit(&self.$list));
                    }
                    index += 1;
                )*
                let _ = index;
                None
            }
        }
    };
}

records! {
    /// 户籍人口.
    Registry, "household_registry", registry {
        id_number: Text "身份证号",
        name: Text "姓名",
        sex: Text "性别",
        birth_date: Date "出生日期",
        area_code: Text "行政区划",
        household_no: Text "户号",
        relation: Text "与户主关系",
        status: Text "户籍状态",
        cancel_category: Text "注销类别",
        cancel_date: Date "注销日期",
        death_date: Date "死亡日期",
    }
    /// 待遇人员.
    Payee, "pension_payees", payees {
        id_number: Text "身份证号",
        name: Text "姓名",
        sex: Text "性别",
        birth_date: Date "出生日期",
        archive_birth: Date "档案出生日期",
        scheme: Text "险种类型",
        status: Text "待遇状态",
        start_month: Month "待遇开始年月",
        pause_month: Month "暂停年月",
        stop_month: Month "终止年月",
        stop_reason: Text "终止原因",
        account_no: Text "银行账号",
        bank: Text "开户银行",
        area_code: Text "行政区划",
        village: Text "村社区",
        phone: Text "联系电话",
        last_cert_month: Month "最近认证年月",
        cert_type: Text "认证方式",
        next_cert_month: Month "下次认证年月",
        residence: Text "居住情况",
        operator: Text "经办人",
    }
    /// 待遇发放明细.
    Payment, "pension_payments", payments {
        id_number: Text "身份证号",
        scheme: Text "险种类型",
        item: Text "待遇项目",
        period_month: Month "费款所属期",
        paid_date: Date "发放日期",
        amount: Money "发放金额",
        pay_state: Text "支付状态",
        adjust_type: Text "补发类型",
        account_no: Text "银行账号",
    }
    /// 待遇退款.
    Refund, "pension_refunds", refunds {
        id_number: Text "身份证号",
        period_month: Month "费款所属期",
        scheme: Text "险种类型",
        amount: Money "退款金额",
        state: Text "退款状态",
        credited_date: Date "到账日期",
    }
    /// 死亡医学证明.
    Certificate, "death_certificates", certificates {
        certificate_no: Text "证明编号",
        version: Int "版本号",
        status: Text "证明状态",
        id_number: Text "身份证号",
        name: Text "姓名",
        death_time: Moment "死亡时间",
        issuing_org: Text "签发单位",
        issue_date: Date "签发日期",
        kin_id_number: Text "家属身份证号",
    }
    /// 火化.
    Cremation, "cremations", cremations {
        id_number: Text "身份证号",
        name: Text "姓名",
        cremation_date: Date "火化日期",
        applicant_id: Text "经办人身份证号",
        funeral_home: Text "殡仪馆",
    }
    /// 住院.
    Stay, "hospital_admissions", stays {
        id_number: Text "身份证号",
        name: Text "姓名",
        hospital_code: Text "医疗机构代码",
        admit_time: Moment "入院时间",
        discharge_time: Moment "出院时间",
        discharge_mode: Text "离院方式",
        ward_type: Text "病房类型",
        diagnosis: Text "诊断",
        total_cost: Money "总费用",
        fund_paid: Money "基金支付",
        self_paid: Money "个人自付",
    }
    /// 门诊购药.
    Visit, "outpatient_visits", visits {
        id_number: Text "身份证号",
        name: Text "姓名",
        org_code: Text "医药机构代码",
        visit_time: Moment "就诊时间",
        visit_type: Text "就诊类型",
        total_cost: Money "总费用",
        fund_paid: Money "基金支付",
    }
    /// 公交卡年审.
    Renewal, "transit_renewals", renewals {
        card_no: Text "卡号",
        id_number: Text "身份证号",
        name: Text "姓名",
        renewal_date: Date "年审日期",
        channel: Text "办理方式",
    }
    /// 刷卡.
    Ride, "transit_rides", rides {
        card_no: Text "卡号",
        tap_time: Moment "刷卡时间",
        line: Text "线路",
        stop: Text "站点",
    }
    /// 服刑.
    Custody, "prison_custody", custody {
        id_number: Text "身份证号",
        name: Text "姓名",
        sentence_type: Text "刑罚类别",
        detained_on: Date "羁押日期",
        custody_start: Date "收监日期",
        custody_end: Date "释放日期",
        term_end: Date "刑满日期",
        release_type: Text "释放类别",
        place: Text "服刑地点",
    }
    /// 数据覆盖.
    Coverage, "coverage", coverage {
        dataset: Text "数据集",
        area_code: Text "行政区划",
        month: Month "年月",
        delivered: Bool "是否送达",
    }
}
